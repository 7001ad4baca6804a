package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/gatewaytest"
)

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return code, out.String(), err.String()
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodProto = `syntax = "proto3";
package p.v1;
import "google/api/annotations.proto";
service S {
  rpc Get(Message) returns (Message) { option (google.api.http) = { get: "/v1/{name=things/*}" }; }
  rpc List(Message) returns (stream Message) { option (google.api.http) = { get: "/v1/things" }; }
}
message Message { string name = 1; int32 n = 2; repeated string list = 3; }
`

func TestVersion(t *testing.T) {
	if code, out, _ := command(t, "version"); code != 0 || !strings.HasPrefix(out, "transom ") {
		t.Errorf("%d %q", code, out)
	}
}

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"nothing":                        `transom: unknown command "nothing" for "transom"`,
		"serve --nothing":                "transom: unknown flag: --nothing\nSee 'transom serve --help'.",
		"serve --upstrem localhost:1":    "transom: unknown flag: --upstrem; did you mean --upstream?\nSee",
		"serve ./protos":                 "transom: serve needs --upstream",
		"check --reflect":                "transom: --reflect needs --upstream",
		"check --config a.yaml ./protos": "transom: --config goes alone",
		"explain GET":                    "transom: found 1 argument, expected a method, a path, then folders: transom explain METHOD PATH [FOLDER...] [flags]",
		"explain GET v1/x ./protos":      `transom: found the path "v1/x", expected one that begins with a slash`,
		"init":                           "transom: found 0 arguments, expected the folder to write: transom init DIR",
		"version now":                    "transom: found 1 argument, expected none: transom version",
		"call":                           "transom: found 0 arguments, expected a method, then folders: transom call",
	} {
		if code, _, err := command(t, strings.Fields(line)...); code != exitUsage || !strings.HasPrefix(err, want) {
			t.Errorf("%s: exit code %d, %q", line, code, err)
		}
	}
}

// What the command line says is named as it was typed, and once.
func TestWrongFlags(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto, "set.binpb": "x"})
	none := filepath.Join(dir, "none")
	for line, want := range map[string]string{
		"check " + none:                                             none + ": there is no such folder\n",
		"check " + filepath.Join(dir, "p.proto"):                    filepath.Join(dir, "p.proto") + " is a file, expected a folder\n",
		"check --descriptor-set " + none:                            "--descriptor-set: " + none + ": there is no such file\n",
		"check " + dir + " --upstream localhost":                    `--upstream: found "localhost", expected "host:port", "dns:///host:port" or "unix:/path"` + "\n",
		"serve " + dir + " --upstream a:1 --listen 8080":            `--listen: found "8080", expected "host:port", ":port" or "unix:/path"; did you mean ":8080"?` + "\n",
		"serve " + dir + " --upstream a:1 --listen :0 --admin here": `--admin: found "here", expected "host:port", such as "127.0.0.1:9901"` + "\n",
		"serve --config " + filepath.Join(dir, "none.yaml"):         "cannot read the configuration: " + filepath.Join(dir, "none.yaml") + ": there is no such file; `transom init DIR` writes one to start from\n",
		"check --config " + dir:                                     "cannot read the configuration: " + dir + " is a folder, expected a file\n",
	} {
		if code, _, err := command(t, strings.Fields(line)...); code != exitProblem || err != want {
			t.Errorf("%s: exit code %d, %q, want %q", line, code, err, want)
		}
	}
}

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
	for _, want := range []string{
		`api\.binpb:twin\.proto: warning: bookstore\.v1\.Shelf is already declared in `,
		`api\.binpb:after\.proto: warning: imports "twin\.proto", which could not be loaded`,
	} {
		if !regexp.MustCompile(want).MatchString(told) {
			t.Errorf("Semantics 53: no %q in\n%s", want, told)
		}
	}
}

func TestCheckRules(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"a variable that is no field":           {"{name=things/*}", "{nam=things/*}", `p\.proto:5:\d+: .*\{nam\}`},
		"Semantics 18: a variable that repeats": {"{name=things/*}", "{list=things/*}", `p\.proto:5:\d+: .*\{list\} is a repeated field`},
		"a malformed template":                  {"/v1/{name=things/*}", "/v1//x", `p\.proto:5:\d+: .*`},
		"two methods on one route":              {"/v1/{name=things/*}", "/v1/things", `p\.proto:6:\d+: GET /v1/things of p\.v1\.S\.List .* of p\.v1\.S\.Get`},
	} {
		t.Run("Semantics 9: "+name, func(t *testing.T) {
			dir := folder(t, map[string]string{"p.proto": strings.Replace(goodProto, c.from, c.to, 1)})
			code, _, err := command(t, "check", dir)
			if code != exitProblem || !regexp.MustCompile(c.want).MatchString(err) {
				t.Errorf("exit code %d, no %q in\n%s", code, c.want, err)
			}
		})
	}
}

// Each part of a rule that is wrong is named at its own place.
func TestCheckTellsAllOfARule(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": `syntax = "proto3";
package p.v1;
import "google/api/annotations.proto";
service S {
  rpc Get(Message) returns (Message) {
    option (google.api.http) = {
      get: "/v1/{nam}/{nix}"
      response_body: "nix"
      additional_bindings { get: "/v1//x" }
      additional_bindings {
        post: "/v1/x"
        body: "nix"
      }
      additional_bindings { get: "/v1/things" }
    };
  }
  rpc List(Message) returns (Message);
}
message Message { string name = 1; }
`,
		"transom.yaml": `schemas: [{ directory: ./protos }]
http_rules:
  - selector: p.v1.S.List
    post: /v1/{a}
    additional_bindings:
      - get: /v1/things
      - custom: { kind: PURGE, path: "/v1/{c}" }
        body: nix
`,
	})
	code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	protos := filepath.Join(dir, "protos", "p.proto")
	var got []string
	for line := range strings.Lines(err) {
		got = append(got, strings.TrimPrefix(strings.TrimSpace(line), dir+"/"))
	}
	want := []string{
		`protos/p.proto:7:7: p.v1.S.Get: path variable {nam}: p.v1.Message has no field "nam"; did you mean "name"?`,
		`protos/p.proto:7:7: p.v1.S.Get: path variable {nix}: p.v1.Message has no field "nix"`,
		`protos/p.proto:8:7: p.v1.S.Get: response_body "nix": p.v1.Message has no field "nix"`,
		`protos/p.proto:9:29: p.v1.S.Get: additional_bindings[0]: path template "/v1//x", column 5: found "/", expected a segment`,
		`protos/p.proto:12:9: p.v1.S.Get: additional_bindings[1]: body "nix": p.v1.Message has no field "nix"`,
		`transom.yaml:4:11: p.v1.S.List: path variable {a}: p.v1.Message has no field "a"`,
		`transom.yaml:6:9: GET /v1/things of p.v1.S.List matches the same paths as /v1/things of p.v1.S.Get (` + protos + `:6:12)`,
		`transom.yaml:7:17: p.v1.S.List: additional_bindings[1]: path variable {c}: p.v1.Message has no field "c"`,
		`transom.yaml:8:15: p.v1.S.List: additional_bindings[1]: body "nix": p.v1.Message has no field "nix"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other problems (-want +got):\n%s", diff)
	}
}

func TestCheckConfig(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": goodProto,
		"transom.yaml": `schemas: [{ directory: ./protos }]
upstreams:
  a: { grpc: { target: "localhost:1" }, services: ["other.*"] }
http_rules:
  - { selector: p.v1.S.Gone, get: "/x" }
  - { selector: p.v1.S.Lsit, get: "/y" }
policies:
  - selector: p.v1.S.*
    policy: { retry: { max_attempts: 3 } }
  - selector: p.v2.*
    policy: { auth: { session: {} } }
  - selector: p.v1.S.get
    policy: { timeout: 3s }
`,
	})
	code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`p\.proto:4:\d+: no upstream serves p\.v1\.S`,
		`transom\.yaml:5:\d+: .*there is no method p\.v1\.S\.Gone`,
		`transom\.yaml:6:\d+: .*there is no method p\.v1\.S\.Lsit; did you mean p\.v1\.S\.List\?`,
		`transom\.yaml:9:\d+: .*retry`,
		`transom\.yaml:10:15: policies\[1\]: no method is p\.v2\.\*; the services are p\.v1\.S\n`,
		`transom\.yaml:12:15: policies\[2\]: no method is p\.v1\.S\.get; did you mean p\.v1\.S\.Get\?\n`,
	} {
		if !regexp.MustCompile(want).MatchString(err) {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
}

func TestCheckWarns(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": goodProto,
		"transom.yaml": `schemas: [{ directory: ./protos }]
upstreams:
  a: { grpc: { target: "localhost:1" }, services: ["p.v1.*", "p.v1.T"] }
  b: { grpc: { target: "localhost:2" }, services: ["other.*", "*"] }
`,
	})
	code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`transom.yaml:3:62: warning: upstreams.a: there is no service p.v1.T; did you mean p.v1.S?`,
		`transom.yaml:4:52: warning: upstreams.b: there is no service other.*`,
	} {
		if !strings.Contains(err, want+"\n") {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
	if strings.Count(err, "warning") != 2 {
		t.Errorf("others are warned of:\n%s", err)
	}
}

func TestRoutes(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	_, out, _ := command(t, "routes", dir)
	if !strings.Contains(out, "/v1/{name=things/*}") || !strings.Contains(out, "server_streaming") {
		t.Error(out)
	}
	_, out, _ = command(t, "routes", "--json", dir)
	if !strings.Contains(out, `"rpc": "p.v1.S/Get"`) || !strings.Contains(out, `"policies": []`) {
		t.Error(out)
	}
}

func TestExplain(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	code, out, _ := command(t, "explain", "GET", "/v1/things/a%2Fb", dir)
	if code != 0 || !strings.HasPrefix(out, "route      GET /v1/{name=things/*}\n") ||
		!strings.Contains(out, `name = "things/a%2Fb"`) || !strings.Contains(out, "p.proto:5:") {
		t.Errorf("%d\n%s", code, out)
	}
	for line, want := range map[string]string{
		"DELETE /v1/things":  "1 refused    405 UNIMPLEMENTED: the method DELETE is not allowed here; allowed: GET, HEAD, OPTIONS\n",
		"OPTIONS /v1/things": "0 no route, and an answer: 204 with Allow: GET, HEAD, OPTIONS\n",
		"GET /nothing":       "1 ",
		"GET /p.v1.S/Get":    "1 refused    405 UNIMPLEMENTED: the method GET is not allowed here; allowed: OPTIONS, POST\n",
		"POST /p.v1.S/Get":   "0 route      POST /p.v1.S/Get body=\"*\"\nrule       " + dir + "/p.proto:5:3\n",
	} {
		args := append([]string{"explain"}, append(strings.Fields(line), dir)...)
		if code, out, _ := command(t, args...); !strings.HasPrefix(fmt.Sprint(code, " ", out), want) {
			t.Errorf("%s: %d %s", line, code, out)
		}
	}
}

// A set without source information knows files and no lines.
func TestExplainWithoutPlaces(t *testing.T) {
	wire, err := proto.Marshal(descriptorSet(pb.File_bookstore_v1_bookstore_proto))
	if err != nil {
		t.Fatal(err)
	}
	set := filepath.Join(folder(t, map[string]string{"api.binpb": string(wire)}), "api.binpb")
	code, out, told := command(t, "explain", "GET", "/v1/shelves/1", "--descriptor-set", set)
	if code != 0 || !strings.Contains(out, "\nrule       "+set+":bookstore/v1/bookstore.proto\n") {
		t.Errorf("%d\n%s%s", code, out, told)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if code, _, err := command(t, "init", dir); code != 0 {
		t.Fatal(err)
	}
	if code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml")); code != 0 {
		t.Error(out, err)
	}
	if code, _, err := command(t, "init", dir); code != exitProblem || !strings.Contains(err, "overwrites nothing") {
		t.Errorf("%d %s", code, err)
	}
}

func TestCheckValidationRules(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"of a field":   {"int32 n = 2;", `int32 n = 2 [(buf.validate.field).string.min_len = 1];`, `p\.proto:9:\d+: the validation rules of p\.v1\.Message\.n are wrong`},
		"of a message": {"int32 n = 2;", "int32 n = 2;\n  option (buf.validate.message).cel = { id: \"x\" expression: \"this.m > 0\" };", `p\.proto:10:\d+: the validation rules of p\.v1\.Message are wrong: .*'m'`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodProto, c.from, c.to, 1)
			text = strings.Replace(text, "import ", "import \"buf/validate/validate.proto\";\nimport ", 1)
			code, _, err := command(t, "check", folder(t, map[string]string{"p.proto": text}))
			if code != exitProblem || !regexp.MustCompile(c.want).MatchString(err) {
				t.Errorf("exit code %d, no %q in\n%s", code, c.want, err)
			}
		})
	}
}

const guardedProto = `syntax = "proto3";
package accounts.v1;
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service AccountService {
  option (transom.v1.service) = { auth: { mixed: {} } };
  rpc SignIn(SignInRequest) returns (SignInResponse) {
    option (transom.v1.method) = { auth: { anonymous: {} } login: { subject: "user" token: { issuer: "us" field: "token" } } };
  }
  rpc WhoAmI(google.protobuf.Empty) returns (WhoAmIResponse);
}
message SignInRequest { string name = 1; string password = 2; }
message SignInResponse { string user = 1; repeated string groups = 2; string token = 7; }
message WhoAmIResponse { map<string, string> metadata = 1; }
`

// TestCallPolicies calls a method that wants to know who calls: as a gateway
// where there is a configuration, else the server as it is.
func TestCallPolicies(t *testing.T) {
	backend := startAccounts(t)
	dir := folder(t, map[string]string{
		"p/p.proto": guardedProto,
		"transom.yaml": "schemas: [{ directory: p }]\nupstreams: { s: { grpc: { target: \"" + backend + "\" } } }\n" +
			"auth: { jwt: [{ issuer: us, secret: " + strings.Repeat("s", 32) + " }] }\n",
	})
	config := []string{"--config", filepath.Join(dir, "transom.yaml")}
	call := func(want int, method string, args ...string) string {
		t.Helper()
		code, out, err := command(t, append([]string{"call", "accounts.v1.AccountService/" + method}, args...)...)
		if code != want {
			t.Errorf("call %s %q: exit code %d\n%s%s", method, args, code, out, err)
		}
		return out + err
	}
	if out := call(exitProblem, "WhoAmI", config...); !strings.Contains(out, "unauthenticated") {
		t.Error(out)
	}
	signedIn := call(0, "SignIn", append(config, "-d", `{"name":"ada","password":"lighthouse"}`)...)
	token := regexp.MustCompile(`eyJ[^"]+`).FindString(signedIn)
	if out := call(0, "WhoAmI", append(config, "-H", "authorization: Bearer "+token, "-H", "x-mine: 7")...); !strings.Contains(out, `"x-transom-principal":"ada"`) ||
		!strings.Contains(out, `"x-mine":"7"`) {
		t.Error(out)
	}
	if out := call(exitProblem, "WhoAmI", append(config, "-H", "cookie: __Host-transom-session=x")...); !strings.Contains(out, "credentials are not valid") {
		t.Error(out)
	}
	if out := call(0, "WhoAmI", filepath.Join(dir, "p"), "--upstream", backend); strings.Contains(out, "x-transom-principal") {
		t.Error(out)
	}
}

// running is a command that serves in the background.
type running struct {
	url, admin string
	stop       func() int
	log        *locked
}

// locked is a buffer that several goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startDemo runs the demo until stop or the end of the test.
func startDemo(t *testing.T) *running {
	t.Helper()
	in := input{listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	return startServing(t, func(ctx context.Context, s streams, started func(*server)) error {
		return demo(ctx, in, s, false, started)
	})
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestDemo(t *testing.T) {
	demo := startDemo(t)
	if code, body := get(t, demo.url+"/v1/shelves/1/books/1"); code != 200 || !strings.Contains(body, "Lighthouse") {
		t.Errorf("%d %s", code, body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/routes"} {
		if code, body := get(t, demo.admin+path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, metrics := get(t, demo.admin+"/metrics")
	if !strings.Contains(metrics, `rpc="bookstore.v1.BookstoreService/GetBook"`) || strings.Contains(metrics, "shelves/1/books/1\"") {
		t.Error("metrics are not by RPC and route")
	}
	if code := demo.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := demo.log.String(); strings.Contains(log, "cannot be reached") {
		t.Errorf("the bookstore ends before the gateway:\n%s", log)
	}
}

func TestPortInUse(t *testing.T) {
	demo := startDemo(t)
	dir := folder(t, map[string]string{"p.proto": goodProto})
	code, _, err := command(t, "serve", dir, "--upstream", "localhost:1", "--listen", strings.TrimPrefix(demo.url, "http://"), "--admin", "-")
	if code != exitProblem || !strings.Contains(err, "--listen: listen tcp ") || !strings.Contains(err, "address already in use: another program listens there; end it, or choose another address\n") {
		t.Errorf("%d %s", code, err)
	}
}

func TestCall(t *testing.T) {
	backend := gatewaytest.StartBookstore(t)
	const service = "bookstore.v1.BookstoreService/"
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"unary":                   {[]string{"GetShelf", "-d", `{"name":"shelves/1"}`}, `"name":"shelves/1"`, 0},
		"server streaming":        {[]string{"WatchBooks", "-d", `{"parent":"shelves/1","count":1}`}, `"sequence":"3"`, 0},
		"client streaming":        {[]string{"ImportBooks", "-d", `{"parent":"shelves/2","book":{"title":"a"}} {"parent":"shelves/2","book":{"title":"b"}}`}, `"names":`, 0},
		"bidi":                    {[]string{"Discuss", "-d", `{"text":"a"}{"text":"b"}`}, "You said: b", 0},
		"an error after messages": {[]string{"WatchBooks", "-d", `{"parent":"shelves/3","count":1,"interval":"0s","failCode":7}`}, `{"code":7,"message":"the watch was told to fail"`, exitProblem},
		"an error":                {[]string{"GetShelf", "-d", `{"name":"shelves/99"}`}, "not_found", exitProblem},
		"a wrong name":            {[]string{"Getshelf"}, "did you mean bookstore.v1.BookstoreService/GetShelf", exitProblem},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"call", service + c.args[0]}, c.args[1:]...)
			code, out, err := command(t, append(args, "--upstream", backend)...)
			if code != c.code || !strings.Contains(strings.ReplaceAll(out+err, ": ", ":"), strings.ReplaceAll(c.want, ": ", ":")) {
				t.Errorf("exit code %d\n%s%s", code, out, err)
			}
		})
	}
}
