package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		`transom.yaml:1:1: warning: upstreams: found none, so that every call is answered with 503; name the server, for example upstreams: { books: { grpc: { target: "localhost:50051" } } }`,
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
    policy: { events: [{ topic: x }] }
  - selector: p.v2.*
    policy: { auth: { session: {} } }
  - selector: p.v1.S.get
    policy: { timeout: 3s }
  - selector: p.v1.S
    policy: { retry: { codes: [NOT_FOUND] } }
  - selector: p.v1.S.List
    policy: { retry: { codes: [NOT_FOUND] } }
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
		`transom\.yaml:9:\d+: .*events`,
		`transom\.yaml:10:15: policies\[1\]: no method is p\.v2\.\*; the services are p\.v1\.S\n`,
		`transom\.yaml:12:15: policies\[2\]: no method is p\.v1\.S\.get; did you mean p\.v1\.S\.Get\?\n`,
		`transom\.yaml:14:15: policies\[3\]: no method is p\.v1\.S, which is a service: did you mean p\.v1\.S\.\*\?\n`,
		`transom\.yaml:17:\d+: .*another attempt cannot change NOT_FOUND`,
	} {
		if !regexp.MustCompile(want).MatchString(err) {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
	if strings.Contains(err, "no method here may be called twice") {
		t.Errorf("it is said of a policy that is wrong for another reason:\n%s", err)
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

// TestCheckMissingSecret: a secret that cannot be read is told with its place by every
// command that looks at the configuration, whatever methods use it.
func TestCheckMissingSecret(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": `syntax = "proto3";
package p.v1;
import "transom/v1/annotations.proto";
service S {
  rpc Token(Message) returns (Message) {
    option (transom.v1.method) = { auth: { anonymous: {} } login: { subject: "name" token: { issuer: "i" field: "name" } } };
  }
  rpc Login(Message) returns (Message) {
    option (transom.v1.method) = { auth: { anonymous: {} } login: { subject: "name" session: {} } };
  }
  rpc Logout(Message) returns (Message) { option (transom.v1.method) = { auth: { mixed: {} } logout: { all: true } }; }
  rpc Get(Message) returns (Message) { option (transom.v1.method) = { auth: { jwt: { issuers: "i" } } }; }
}
message Message { string name = 1; }
`,
		"transom.yaml": `schemas: [{ directory: ./protos }]
upstreams: { u: { grpc: { target: "localhost:1" } } }
auth: { jwt: [{ issuer: i, audience: a, secret: "file:missing" }], session: {} }
`,
	})
	for _, args := range [][]string{{"check"}, {"routes"}, {"explain", "POST", "/p.v1.S/Token"}, {"explain", "POST", "/p.v1.S/Get"}, {"serve", "--listen", "127.0.0.1:0"}} {
		code, _, err := command(t, append(args, "--config", filepath.Join(dir, "transom.yaml"))...)
		if code != exitProblem || !regexp.MustCompile(`transom\.yaml:3:\d+: .*missing`).MatchString(err) {
			t.Errorf("%s: exit code %d\n%s", args[0], code, err)
		}
	}
}
