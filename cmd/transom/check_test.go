package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func TestCheck(t *testing.T) {
	good := folder(t, map[string]string{"p.proto": goodProto})
	if code, out, err := command(t, "check", good); code != 0 || out != "ok: 2 routes\n" {
		t.Errorf("%d %q %q", code, out, err)
	}
	messages := folder(t, map[string]string{"p.proto": "syntax = \"proto3\";\npackage q;\nmessage M {}\n"})
	if code, out, err := command(t, "check", messages); code != 0 || out != "ok: 0 routes, 1 warning\n" || !strings.Contains(err, "warning: nothing is served: no .proto file of the schemas declares a service") {
		t.Errorf("%d %q %q", code, out, err)
	}
	bad := folder(t, map[string]string{
		"a.proto": strings.Replace(goodProto, "{name=things/*}", "{nam=things/*}", 1),
		"b.proto": "syntax = \"proto3\";\npackage q;\nmessage M { Missing m = 1; }\n",
		"c.proto": "syntax = \"proto3\";\nimport \"nowhere.proto\";\n",
	})
	code, _, err := command(t, "check", bad)
	if code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`b\.proto:3:\d+: .*Missing`, `c\.proto:2:\d+: .*nowhere\.proto`} {
		if !regexp.MustCompile(want).MatchString(err) {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
}

// What is wrong with the configuration keeps nobody from seeing what is wrong
// with the protos, and makes no right one look wrong.
func TestCheckTellsAllAtOnce(t *testing.T) {
	protos := map[string]string{
		"protos/b.proto": "syntax = \"proto3\";\npackage q;\nmessage M { Missing m = 1; }\n",
		"protos/p.proto": strings.Replace(goodProto, "{name=things/*}", "{nam=things/*}", 1),
		"protos/r.proto": `syntax = "proto3";
package r.v1;
import "transom/v1/annotations.proto";
message M {}
service R {
  rpc Try(M) returns (M) { option (transom.v1.method) = { retry: { max_attempts: 3 } }; }
  rpc Ask(M) returns (M) { option (transom.v1.method) = { auth: { jwt: {} } }; }
}
`,
	}
	const (
		schema = "schemas: [{ directory: ./protos }]\n"
		missed = `protos/b\.proto:3:\d+: .*Missing`
		rule   = `protos/p\.proto:5:\d+: .*\{nam\}`
		retry  = `protos/r\.proto:6:\d+: .*retry`
		noKeys = `protos/r\.proto:7:\d+: .*jwt`
	)
	for name, c := range map[string]struct {
		config string
		want   []string
	}{
		"what has no say in protos": {
			schema + "listenerz: [{ address: \":1\" }]\ntrusted_proxies: [everybody]\nupstreams: { a: { grpc: {} } }\n",
			[]string{missed, rule, retry, noKeys, `transom\.yaml:2:1: .*listenerz`, `transom\.yaml:3:\d+: .*everybody`, `transom\.yaml:4:\d+: .*target`},
		},
		"keys that may be there": {
			schema + "auht: { jwt: [] }\n",
			[]string{missed, rule, retry, `transom\.yaml:2:1: .*auht`},
		},
		"keys that are wrong": {
			schema + "auth: { jwt: [{ issuer: x, audience: y, jwks_url: nonsense }], session: { ttl: 3 } }\nrest: { ignored_query: 3 }\ndefaults: { timeout: soon }\n",
			[]string{missed, rule, retry, `transom\.yaml:2:\d+: .*jwks_url`, `transom\.yaml:2:\d+: .*session\.ttl`, `transom\.yaml:3:\d+: .*ignored_query`, `transom\.yaml:4:\d+: .*timeout`},
		},
		"an issuer that signs": {
			schema + "auth: { jwt: [{ issuer: x, audience: y, jwks_url: nonsense, private_key: p }] }\n",
			[]string{missed, rule, retry, `transom\.yaml:2:\d+: .*jwks_url`, `transom\.yaml:2:\d+: .*private_key`},
		},
		"a template": {
			schema + "http_rules: [{ selector: p.v1.S.Get, get: \"/v1//x\" }]\n",
			[]string{missed, retry, noKeys, `transom\.yaml:2:\d+: .*/v1//x`},
		},
		"whose rule it is": {
			schema + "http_rules: [{ selector: p.*.Get, get: /v1/x }]\n",
			[]string{missed, retry, noKeys, `transom\.yaml:2:\d+: .*p\.\*\.Get`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			protos["transom.yaml"] = c.config
			code, _, err := command(t, "check", "--config", filepath.Join(folder(t, protos), "transom.yaml"))
			if lines := strings.Count(err, "\n"); code != exitProblem || lines != len(c.want) {
				t.Errorf("exit code %d, %d problems, want %d", code, lines, len(c.want))
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(err) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Log(err)
			}
		})
	}
}

// A file that does not compile keeps nobody from seeing what is wrong with the
// rules and policies of the others, and makes no mistake of what only it holds.
func TestCheckLooksPastBrokenFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/broken.proto": `syntax = "proto3";
package broken.v1;
import "google/api/annotations.proto";
message M { Missing m = 1; }
service Broken { rpc Get(M) returns (M) { option (google.api.http) = { get: "/v1/{nam=x/*}" }; } }
`,
		"protos/importer.proto": `syntax = "proto3";
package importer.v1;
import "broken.proto";
import "google/api/annotations.proto";
service Importer { rpc Get(broken.v1.M) returns (broken.v1.M) { option (google.api.http) = { get: "/v1/{nam=y/*}" }; } }
`,
		"protos/policy.proto": `syntax = "proto3";
package policy.v1;
import "transom/v1/annotations.proto";
message M { string name = 1; }
service Policy {
  rpc Try(M) returns (M) { option (transom.v1.method) = { retry: { max_attempts: 3 } }; }
  rpc Ask(M) returns (M) { option (transom.v1.method) = { rate_limit: { requests: 1 per: { seconds: 1 } key: CEL cel: "request.nam" } }; }
}
`,
		"protos/rule.proto": strings.Replace(goodProto, "{name=things/*}", "{nam=things/*}", 1),
		"transom.yaml": `schemas: [{ directory: ./protos }]
upstreams:
  a: { grpc: { target: "localhost:1" }, services: ["p.v1.*", "policy.v1.*"] }
  b: { grpc: { target: "localhost:2" }, services: ["broken.v1.*", "importer.v1.Importer"] }
http_rules:
  - { selector: broken.v1.Broken.Get, get: "/v1/things" }
  - { selector: p.v1.S.List, get: "/v1/{nothing}" }
policies:
  - selector: importer.v1.*
    policy: { timeout: 3s }
`,
	})
	code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	want := []string{
		`protos/broken\.proto:4:13: .*Missing.*`,
		`protos/policy\.proto:6:\d+: .*retry.*`,
		`protos/policy\.proto:7:\d+: .*nam.*`,
		`protos/rule\.proto:5:\d+: .*\{nam\}.*`,
		`transom\.yaml:7:35: .*\{nothing\}.*`,
	}
	if lines := strings.Split(strings.TrimSpace(err), "\n"); len(lines) != len(want) {
		t.Errorf("%d problems, want %d", len(lines), len(want))
	}
	for _, want := range want {
		if !regexp.MustCompile(`(?m)^\S*` + want + `$`).MatchString(err) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// TestBadFileInADescriptorSet: it costs itself and what imports it, is named, and
// no more.
func TestBadFileInADescriptorSet(t *testing.T) {
	set := descriptorSet(pb.File_bookstore_v1_bookstore_proto)
	set.File = append(set.File,
		&descriptorpb.FileDescriptorProto{
			Name: proto.String("twin.proto"), Package: proto.String("bookstore.v1"),
			MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Shelf")}},
		},
		&descriptorpb.FileDescriptorProto{
			Name: proto.String("after.proto"), Package: proto.String("after"), Dependency: []string{"twin.proto"},
			MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("shelf"), Number: proto.Int32(1), TypeName: proto.String(".bookstore.v1.Shelf"),
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}}}},
		})
	wire, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"api.binpb": string(wire)})
	code, out, told := command(t, "routes", "--descriptor-set", filepath.Join(dir, "api.binpb"))
	if code != 0 || !strings.Contains(out, "bookstore.v1.BookstoreService/GetShelf") {
		t.Errorf("Semantics 53: the rest is not served: exit code %d\n%s%s", code, out, told)
	}
	if want := "2 warnings; transom check says of what\n"; told != want {
		t.Errorf("routes says %q, want %q", told, want)
	}
	_, _, told = command(t, "check", "--descriptor-set", filepath.Join(dir, "api.binpb"))
	for _, want := range []string{
		`api\.binpb:twin\.proto: warning: bookstore\.v1\.Shelf is already declared in `,
		`api\.binpb:after\.proto: warning: imports "twin\.proto", which could not be loaded`,
	} {
		if !regexp.MustCompile(want).MatchString(told) {
			t.Errorf("Semantics 53: no %q in\n%s", want, told)
		}
	}
}
