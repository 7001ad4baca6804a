package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCheckSuppressesUndecided: beside a configuration that is wrong, what is wrong
// in protos for certain is told, and what may follow from it, or may have no say,
// is not.
func TestCheckSuppressesUndecided(t *testing.T) {
	const protos = `syntax = "proto3";
package q.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
message M {
  string name = 1 [(buf.validate.field).cel = { id: "n" expression: "this > 3" }];
  repeated string names = 2;
}
service S {
  rpc Ask(M) returns (M) {
    option (google.api.http) = { get: "/v1/{names}" };
    option (transom.v1.method) = {
      auth: { jwt: { issuers: "nobody" } allow: "clams" }
      rate_limit: { requests: 0 }
      rate_limit: { requests: 1 per: { seconds: 1 } store: REDIS }
      login: { subject: "nix" token: { issuer: "nobody" } }
      timeout: { seconds: -1 }
    };
  }
}
`
	const issuers, allow, requests, store = `14:\d+: auth\.jwt:`, `14:\d+: auth\.allow`, `15:\d+: .*requests`, `16:\d+: .*store`
	const subject, signer, timeout = `17:\d+: login\.subject`, `17:\d+: login\.token\.issuer`, `18:\d+: timeout`
	const rules, rule = `7:\d+: .*this > 3`, `12:\d+: .*\{names\}`
	all := []string{issuers, allow, requests, store, subject, signer, timeout, rules, rule}
	for name, c := range map[string]struct {
		config     string
		suppressed []string
	}{
		"nothing that matters":               {"shutdown_timeout: -1s\n", nil},
		"auth":                               {"auth: 7\n", []string{issuers, signer}},
		"an issuer's name":                   {"auth: { jwt: [{ issuer: [x], secret: s }] }\n", []string{issuers, signer}},
		"an issuer's key":                    {"auth: { jwt: [{ issuer: known, secret: s }] }\n", []string{signer}},
		"stores":                             {"stores: { redis: 7 }\n", []string{store}},
		"a Redis":                            {"stores: { redis: { url: \"nope://\" } }\n", []string{store}},
		"rest":                               {"rest: 7\n", []string{rule}},
		"the setting that decides":           {"rest: { repeated_path_values: 7 }\n", []string{rule}},
		"a setting that does not":            {"rest: { ignored_query: 7 }\n", nil},
		"compatibility":                      {"compatibility: NGINX\n", []string{rule}},
		"a rule's selector":                  {"http_rules: [{ selector: \"*.S\", get: /v1/x }]\n", []string{rule}},
		"a default":                          {"defaults: { timeout: soon, auth: 7 }\n", nil},
		"defaults":                           {"defaults: 7\n", []string{rules}},
		"a policy's selector":                {"policies: [{ selector: \"*.S\", policy: { timeout: 1s, rate_limit: [{ requests: 1, per: 1s }] } }]\n", []string{timeout, requests, store}},
		"a field of a policy":                {"policies: [{ selector: \"q.v1.*\", policy: { auth: 7 } }]\n", []string{issuers, allow}},
		"a policy":                           {"policies: [{ selector: \"q.v1.*\", policy: 7 }]\n", []string{issuers, allow, requests, store, subject, signer, timeout, rules}},
		"what may be meant for anything":     {"zzzzzz: 7\n", all},
		"what is no YAML, so nothing at all": {"{\n", all},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{
				"protos/q.proto": protos,
				"transom.yaml":   "schemas: [{ directory: ./protos }]\n" + c.config,
			})
			code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != exitProblem || !strings.Contains(err, "transom.yaml:") {
				t.Errorf("exit code %d", code)
			}
			if n := strings.Count(err, "q.proto:"); n != len(all)-len(c.suppressed) {
				t.Errorf("%d problems of the proto, want %d", n, len(all)-len(c.suppressed))
			}
			for _, problem := range c.suppressed {
				if regexp.MustCompile(`q\.proto:` + problem).MatchString(err) {
					t.Errorf("says %q", problem)
				}
			}
			if t.Failed() {
				t.Log(err)
			}
		})
	}
}

// TestRoutesBesideWhatIsWrong: the policies of plain HTTP routes are looked at, too, while
// parts of the configuration are wrong, and nothing is said of what follows from that.
func TestRoutesBesideWhatIsWrong(t *testing.T) {
	const refused, unknown = `fault.abort.http_status: found 200`, `expected the name of`
	for name, c := range map[string]struct{ wrong, policy, want, not string }{
		"what is wrong is elsewhere":         {"shutdown_timeout: -1s", "fault: { abort: { http_status: 200 } }", "transom.yaml:4:92: " + refused, ""},
		"a variable that is not set":         {`defaults: { cors: { allowed_origins: ["${NOBODY_HAS_SET_IT}"] } }`, "fault: { abort: { http_status: 200 } }", refused, ""},
		"a host that another field sets":     {"via: maybe", "headers: { request: { set: { Host: b } } }", "which rewrite.host of the route says", ""},
		"another route":                      {"via: maybe", "fault: { abort: { http_status: 200 } }", refused, ""},
		"the policy itself":                  {"via: false", "fault: { abort: { http_status: 200 } }, timeout: soon", "policy.timeout: found", refused},
		"upstreams are there":                {"shutdown_timeout: -1s", "split: { branches: [{ upstream: site }] }, mirror: { upstream: other }, circuit_breaker: { fallback: other }", "shutdown_timeout", unknown},
		"what a policy needs cannot be read": {"auth: { jwt: [{ issuer: [x] }] }", "auth: { jwt: {} }", "auth.jwt[0].issuer", "demands a token"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"transom.yaml": c.wrong + `
upstreams: { site: { http: { servers: ["localhost:1"] } }, other: { http: { servers: ["localhost:2"] } } }
routes:
  - { match: { path_prefix: /a }, upstream: site, policy: { ` + c.policy + ` } }
`})
			code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != exitProblem || !strings.Contains(err, c.want) || c.not != "" && strings.Contains(err, c.not) {
				t.Errorf("%d\n%s\nwant %q and not %q", code, err, c.want, c.not)
			}
		})
	}
}
