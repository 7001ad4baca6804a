package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const warnedProto = `syntax = "proto3";
package w.v1;
import "transom/v1/annotations.proto";
message M { string name = 1; }
service S {
  rpc Get(M) returns (M);
  rpc Send(stream M) returns (M);
  rpc Watch(M) returns (stream M);
}
`

// TestCheckWarnsOfConfiguration: what works otherwise than its author may think is named at its
// place, and the exit code stays 0.
func TestCheckWarnsOfConfiguration(t *testing.T) {
	const upstream = "upstreams: { a: { grpc: { target: \"localhost:1\" } } }\n"
	for name, test := range map[string]struct{ config, want string }{
		"nothing":               {upstream, ""},
		"no upstream":           {"", `:1:1: warning: upstreams: found none, so that every call is answered with 503;`},
		"host bits":             {upstream + `trusted_proxies: ["10.0.0.0/8", "10.0.0.1/8"]`, `:3:33: warning: trusted_proxies[1]: found "10.0.0.1/8", which stands for all of 10.0.0.0/8: write that, or "10.0.0.1/32"`},
		"host bits in IPv6":     {upstream + `trusted_proxies: ["fd00::1/8"]`, `which stands for all of fd00::/8`},
		"no login":              {upstream + "auth: { session: {} }\ndefaults: { auth: { session: {} } }", `:3:18: warning: auth.session: no method opens a session`},
		"a login":               {upstream + "auth: { session: {} }\npolicies: [{ selector: w.v1.S.Get, policy: { login: { subject: name, session: {} } } }, { selector: w.v1.S.Send, policy: { auth: { session: {} } } }]", ""},
		"nobody's name":         {upstream + "defaults: { headers: { request: { set: { a: \"x ${principal}\" } } } }", `:3:11: warning: headers: ${principal} is empty here`},
		"nobody's claim":        {upstream + "policies: [{ selector: w.v1.S.Get, policy: { headers: { response: { add: { a: \"${claim.a}\" } } } } }]", `warning: headers: ${claim.a} is empty here`},
		"somebody's name":       {upstream + "auth: { session: {} }\ndefaults: { headers: { request: { set: { a: \"${principal}\" } } } }\npolicies: [{ selector: w.v1.S.Get, policy: { login: { subject: name, session: {} } } }, { selector: w.v1.S.Send, policy: { auth: { session: {} } } }]", ""},
		"twins":                 {upstream + "policies: [{ selector: w.v1.*, policy: { timeout: 1s } }, { selector: w.v1.S.Get, policy: { timeout: 1s } }, { selector: w.v1.*, policy: { timeout: 2s } }]", `warning: policies[2]: w.v1.* has an entry at `},
		"retries of nothing":    {upstream + "policies: [{ selector: w.v1.*, policy: { retry: {} } }]", `:3:40: warning: retry: no method here may be called twice`},
		"retries":               {upstream + "policies: [{ selector: w.v1.*, policy: { retry: { idempotency_level: IDEMPOTENT } } }]", ""},
		"grpc-go's client":      {"upstreams: { a: { grpc: { target: \"localhost:1\", client: GRPC_GO } } }\npolicies: [{ selector: w.v1.S.Get, policy: { retry: { idempotency_level: IDEMPOTENT } } }]", `warning: retry: it has no effect on the upstream a, whose client is GRPC_GO`},
		"a hedge alone":         {upstream + "policies: [{ selector: w.v1.S.Get, policy: { retry: { idempotency_level: NO_SIDE_EFFECTS, hedge_after: 5ms, max_attempts: 1 } } }]", `warning: retry.hedge_after: it has no effect beside max_attempts: 1, which leaves no attempt to make beside the first: set max_attempts to 2 or more`},
		"a percentile alone":    {upstream + "policies: [{ selector: w.v1.S.Get, policy: { retry: { idempotency_level: NO_SIDE_EFFECTS, hedge_percentile: 95, max_attempts: 0 } } }]", `warning: retry.hedge_percentile: it has no effect beside max_attempts: 0`},
		"long attempts":         {upstream + "policies: [{ selector: w.v1.S.Get, policy: { timeout: 1s, retry: { idempotency_level: IDEMPOTENT, per_try_timeout: 1s } } }]", `warning: retry.per_try_timeout: 1s leaves no time for another attempt, as timeout is 1s in all`},
		"messages, inherited":   {upstream + "policies: [{ selector: w.v1.*, policy: { rate_limit: [{ requests: 1, per: 1s, per_message: true }] } }]", ""},
		"a GET with a body":     {upstream + "http_rules: [{ selector: w.v1.S.Get, get: /a, body: \"*\" }]", `:3:53: warning: w.v1.S.Get: a GET has no body for browsers, caches and many proxies`},
		"one of several":        {upstream + "http_rules: [{ selector: w.v1.S.Get, post: /a, body: \"*\", additional_bindings: [{ get: /b, body: name }] }]", `:3:98: warning: w.v1.S.Get: a GET has no body`},
		"a stream's GET":        {upstream + "http_rules: [{ selector: w.v1.S.Send, get: /a, body: \"*\" }]", ""},
		"messages, of a stream": {upstream + "policies: [{ selector: w.v1.S.Send, policy: { rate_limit: [{ requests: 1, per: 1s, per_message: true }] } }]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "transom.yaml": "schemas: [{ directory: protos }]\n" + test.config})
			code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != 0 || !strings.Contains(err, test.want) || (err == "") != (test.want == "") || strings.Contains(out, "warning") != (test.want != "") {
				t.Errorf("%d %q %q, want %q", code, out, err, test.want)
			}
		})
	}
}

// TestCheckWarnsOfTags: Traffic 127: a tag that a write drops and no answer can have is named at its place. With Redis it
// may be another gateway's, where this one has no tags at all.
func TestCheckWarnsOfTags(t *testing.T) {
	proto := strings.Replace(warnedProto, "service S {", "service S {\n  rpc Look(M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }", 1)
	const redis = "stores: { redis: { url: \"redis://localhost:1\" } }\n"
	policies := func(tags, drops string) string {
		return "upstreams: { a: { grpc: { target: \"localhost:1\" } } }\npolicies: [{ selector: w.v1.S.Look, policy: { cache: { ttl: 1s, tags: [" + tags + "] } } }, { selector: w.v1.S.Get, policy: { cache: { invalidates: [" + drops + "] } } }]\n"
	}
	for name, test := range map[string]struct{ config, want string }{
		"the same":      {policies(`"m:{name}"`, `"m:{response.name}"`), ""},
		"one of them":   {policies(`"m:{name}"`, `"m:all"`), ""},
		"all":           {policies(`"all", "m:{name}"`, `"all"`), ""},
		"misspelled":    {policies(`"m:{name}", "all"`, `"n:{name}"`), `:3:130: warning: cache.invalidates: found "n:{name}", which drops nothing: the tags of answers are all, m:{name}`},
		"no tags":       {policies("", `"n"`), `warning: cache.invalidates: found "n", which drops nothing: no method has cache.tags`},
		"of others":     {redis + policies("", `"n"`), ""},
		"among its own": {redis + policies(`"m:{name}"`, `"n"`), `warning: cache.invalidates: found "n"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"protos/w.proto": proto, "transom.yaml": "schemas: [{ directory: protos }]\n" + test.config})
			code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != 0 || !strings.Contains(err, test.want) || (err == "") != (test.want == "") {
				t.Errorf("%d %q %q, want %q", code, out, err, test.want)
			}
		})
	}
}

// TestCheckOfEventsAlone: a gateway that has nothing but events needs no server, and is not warned of having none.
func TestCheckOfEventsAlone(t *testing.T) {
	dir := folder(t, map[string]string{"transom.yaml": "events: { behaviour: {}, streams: [{ topic: user_behaviors }] }\n"})
	code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != 0 || err != "" || strings.Contains(out, "warning") {
		t.Errorf("%d %q %q", code, out, err)
	}
}

// TestSemantics329Messages: a limit of messages that is written for a method that takes
// one is an error at its place (Semantics 329).
func TestSemantics329Messages(t *testing.T) {
	for name, test := range map[string]struct{ option, config, want string }{
		"an option":    {" { option (transom.v1.method) = { rate_limit: { requests: 1 per: { seconds: 1 } per_message: true } }; }", "", "w.proto:6:"},
		"a policy":     {";", "policies: [{ selector: w.v1.S.Watch, policy: { rate_limit: [{ requests: 1, per: 1s, per_message: true }] } }]", "transom.yaml:3:98"},
		"not the last": {" { option (transom.v1.method) = { rate_limit: { requests: 1 per: { seconds: 1 } per_message: true } }; }", "policies: [{ selector: w.v1.S.Get, policy: { rate_limit: [{ disabled: true }] } }]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(warnedProto, "Get(M) returns (M);", "Get(M) returns (M)"+test.option, 1)
			dir := folder(t, map[string]string{"protos/w.proto": text,
				"transom.yaml": "schemas: [{ directory: protos }]\nupstreams: { a: { grpc: { target: \"localhost:1\" } } }\n" + test.config})
			code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if (code == 0) != (test.want == "") || !strings.Contains(err, test.want) || (test.want != "") != strings.Contains(err, "rate_limit[0].per_message: w.v1.S.") {
				t.Errorf("%d %s, want %s", code, err, test.want)
			}
		})
	}
}

// TestListsWhatHolds: `routes`, `explain` and `describe` list what holds for a method:
// an inherited timeout does not hold for streams.
func TestListsWhatHolds(t *testing.T) {
	dir := folder(t, map[string]string{"protos/w.proto": strings.Replace(warnedProto, "service S {",
		"service S {\n  option (transom.v1.service) = { hidden: false validate: { disabled: true } timeout: { seconds: 3 } json: { proto_names: true } limits: { max_body_bytes: 100 } status: { code: \"NOT_FOUND\" http_status: 410 } };", 1)})
	_, out, _ := command(t, "routes", dir)
	for _, want := range []string{"unary             -         timeout limits json status\n", "server_streaming  -         limits json status\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("routes:\n%s\nlacks %s", out, want)
		}
	}
	for _, args := range [][]string{{"explain", "POST", "/w.v1.S/Watch", dir, "-d", "{}"}, {"describe", "w.v1.S/Watch", dir}} {
		if _, out, _ := command(t, args...); strings.Contains(out, "timeout") || !strings.Contains(out, "limits: ") {
			t.Errorf("%q:\n%s", args, out)
		}
	}
	if _, out, err := command(t, "explain", "GET", "/nowhere", dir); strings.Count(out+err, "\n") != 1 || !strings.HasPrefix(out, "refused    404 NOT_FOUND: ") {
		t.Errorf("a refusal: %q %q", out, err)
	}
}

// TestMeant: names that are nearly right are told.
func TestMeant(t *testing.T) {
	dir := folder(t, map[string]string{"w.proto": warnedProto + "message Order { enum Kind { A = 0; } }\n"})
	t.Chdir(t.TempDir())
	if err := os.WriteFile("request.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"describe w.v1.Oder " + dir:                      "there is no w.v1.Oder; did you mean w.v1.Order?",
		"describe Order " + dir:                          "there is no Order; did you mean w.v1.Order?",
		"describe Kynd " + dir:                           "there is no Kynd; did you mean w.v1.Order.Kind?",
		"describe w.v2.S/Got " + dir:                     "did you mean w.v1.S.Get?",
		"completion bsh":                                 `transom: found "bsh", expected a shell: bash, fish, powershell, zsh; did you mean bash?`,
		"completion":                                     "transom: found no argument, expected a shell: bash,",
		"call w.v1.S/Get -d nope --upstream localhost:1": `-d: found "nope", expected JSON such as '{"name": "value"}', @FILE, or @- for standard input`,
		"call w.v1.S/Get -d request.json " + dir:         `-d: found "request.json", expected JSON; for the file of that name write -d @request.json`,
		"serve " + dir + " --upstream 50051":             `--upstream: found "50051", expected "host:port", "dns:///host:port", "unix:/path", "srv:///name", "file:///path" or "k8s:///service.namespace:port"; did you mean "localhost:50051"?`,
		"serve " + dir + " --upstream a:1 --admin 9901":  `--admin: found "9901", expected "host:port", such as "127.0.0.1:9901", or "unix:/path"; did you mean "127.0.0.1:9901"?`,
	} {
		if code, _, err := command(t, strings.Fields(line)...); code == 0 || !strings.Contains(err, want) {
			t.Errorf("%s: %d %q, want %q", line, code, err, want)
		}
	}
}

// TestInitQuotes: the lines that init prints can be pasted, whatever the folder's name.
func TestInitQuotes(t *testing.T) {
	t.Chdir(t.TempDir())
	for dir, want := range map[string]string{"plain": "cd plain\n", "with spaces": "cd 'with spaces'\n", "it's": `cd 'it'\''s'` + "\n"} {
		if code, out, err := command(t, "init", dir); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %q %q", dir, code, out, err)
		}
	}
}

// TestSemantics329Disabled: disabled: true takes a policy back wherever it stands, in
// the options of a service or method, in defaults and in policies (Semantics 329).
func TestSemantics329Disabled(t *testing.T) {
	text := strings.Replace(warnedProto, "service S {", `service S {
  option (transom.v1.service) = { headers: { disabled: true } auth: { disabled: true } rate_limit: { disabled: true } };`, 1)
	text = strings.Replace(text, "Get(M) returns (M);", `Get(M) returns (M) {
    option (transom.v1.method) = { json: { disabled: true } cors: { disabled: true } timeout: {} };
  }`, 1)
	dir := folder(t, map[string]string{"protos/w.proto": text, "transom.yaml": `schemas: [{ directory: protos }]
upstreams: { a: { grpc: { target: "localhost:1" } } }
defaults:
  headers: { security: {} }
  rate_limit: [{ requests: 1, per: 1s }]
  cors: { allowed_origins: ["*"] }
  json: { proto_names: true }
  timeout: 3s
  concurrency: { disabled: true }
policies:
  - { selector: w.v1.S.Watch, policy: { cors: { disabled: true }, json: { disabled: true } } }
`})
	code, out, err := command(t, "routes", "--config", filepath.Join(dir, "transom.yaml"))
	for _, want := range []string{"unary             a         -\n", "server_streaming  a         -\n", "client_streaming  a         cors json\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d %s\n%s\nlacks %s", code, err, out, want)
		}
	}
}

// TestCheckWarnsBesideErrors: an error hides no warning.
func TestCheckWarnsBesideErrors(t *testing.T) {
	dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "transom.yaml": "schemas: [{ directory: protos }]\n" +
		"upstreams: { a: { grpc: { target: \"localhost:1\" } } }\ntrusted_proxies: [\"10.0.0.1/8\"]\npolicies: [{ selector: w.v1.S.Get, policy: { timeout: -1s } }]\n"})
	code, _, told := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != exitProblem || !strings.Contains(told, "warning: trusted_proxies[0]: ") || !strings.Contains(told, "transom.yaml:4:") {
		t.Errorf("%d %s", code, told)
	}
}

// TestServeOfAServersName: a server in place of a folder is told how servers are named.
func TestServeOfAServersName(t *testing.T) {
	for _, args := range [][]string{{"serve", "localhost:50051"}, {"check", "localhost:50051"}} {
		if code, _, told := command(t, args...); code != exitUsage || !strings.Contains(told, "is named by --upstream localhost:50051") {
			t.Errorf("%v: %d %s", args, code, told)
		}
	}
}
