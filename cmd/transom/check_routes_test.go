package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckWarnsOfRoutes: routes and plain HTTP upstreams that work otherwise than their author
// may think are named at their places (Traffic 210).
func TestCheckWarnsOfRoutes(t *testing.T) {
	const rules = "http_rules: [{ selector: w.v1.S.Get, get: \"/v1/{name=**}\" }, { selector: w.v1.S.Watch, get: /watch }]\n"
	route := func(text string) string { return "routes:\n- " + text }
	for name, test := range map[string]struct{ config, want string }{
		"none":                            {route(`{ match: { path_prefix: / }, upstream: site }`), ""},
		"shadowed by a method":            {route(`{ match: { path: /w.v1.S/Get }, upstream: site }`), `:9:20: warning: routes[0].match.path: POST requests here go to the method w.v1.S/Get (`},
		"shadowed below a method":         {route(`{ match: { path_prefix: /w.v1.S/Get/ }, upstream: site }`), `warning: routes[0].match.path_prefix: POST requests here`},
		"shadowed by a service":           {route(`{ match: { path_prefix: /w.v1.S }, upstream: site }`), `warning: routes[0].match.path_prefix: POST requests here go to the method w.v1.S/Get`},
		"a method's path for GET":         {route(`{ match: { path: /w.v1.S/Get, methods: [GET] }, upstream: site }`), ""},
		"shadowed by a rule":              {route(`{ match: { path: /v1/a/b, methods: [PUT, GET] }, upstream: site }`), `:9:20: warning: routes[0].match.path: GET requests here go to the method w.v1.S/Get (`},
		"all below shadowed by a rule":    {route(`{ match: { path_prefix: /v1/files }, upstream: site }`), `warning: routes[0].match.path_prefix: GET requests here go`},
		"a rule within a prefix":          {route(`{ match: { path_prefix: /watch }, upstream: site }`), ""},
		"prefix outside of the match":     {route(`{ match: { path_prefix: /api }, upstream: site, rewrite: { strip_prefix: /ap } }`), `:9:76: warning: routes[0].rewrite.strip_prefix: no path of the route begins with "/ap", so that nothing is taken away: expected the front of match.path_prefix, "/api"`},
		"prefix outside of the path":      {route(`{ match: { path: /api }, upstream: site, rewrite: { strip_prefix: /api/v1 } }`), `expected the front of match.path, "/api"`},
		"a longer prefix":                 {route(`{ match: { path_prefix: / }, upstream: site, rewrite: { strip_prefix: /api } }`), ""},
		"the prefix":                      {route(`{ match: { path_prefix: /api/ }, upstream: site, rewrite: { strip_prefix: /api } }`), ""},
		"to itself":                       {route(`{ match: { path: /a }, redirect: { path: /a } }`), `:9:36: warning: routes[0].redirect: a request for /a is sent to /a, which is this route again`},
		"to itself by a prefix":           {route(`{ match: { path_prefix: /a }, redirect: { replace_prefix: /a/ } }`), `is sent to /a/, which is this route again`},
		"ever deeper":                     {route(`{ match: { path_prefix: /a }, redirect: { path: /a/b } }`), `is sent to /a/b, which is this route again`},
		"to its own host":                 {route(`{ match: { path_prefix: /, host: "*.shop.example" }, redirect: { host: www.shop.example } }`), `a request for a.shop.example/ is sent to www.shop.example/, which is this route again`},
		"to a route of its own":           {route("{ match: { path_prefix: /a }, redirect: { path: /a/b } }\n- { match: { path: /a/b }, upstream: site }"), ""},
		"round in a circle":               {route("{ match: { path: /a }, redirect: { path: /b } }\n- { match: { path: /b }, redirect: { path: /a } }"), `:9:36: warning: routes[0].redirect: a request for /a is sent to /b, from where routes[1] leads to this route again`},
		"ending elsewhere":                {route("{ match: { path: /a }, redirect: { path: /b } }\n- { match: { path: /b }, redirect: { path: /c } }\n- { match: { path: /c }, upstream: site }"), ""},
		"retries of POST":                 {route(`{ match: { path: /a, methods: [POST] }, upstream: site, policy: { retry: {} } }`), `warning: routes[0].policy.retry: it does nothing here, as none of the route's methods may be asked twice`},
		"retries of POST that may be":     {route(`{ match: { path: /a, methods: [POST] }, upstream: site, policy: { retry: { idempotency_level: IDEMPOTENT } } }`), ""},
		"retries of PUT, too":             {route(`{ match: { path: /a, methods: [POST, PUT] }, upstream: site, policy: { retry: {} } }`), ""},
		"to another host":                 {route(`{ match: { path_prefix: /, host: shop.example }, redirect: { host: www.shop.example } }`), ""},
		"to a method":                     {route(`{ match: { path_prefix: / }, redirect: { path: /v1/a } }`), ""},
		"to https":                        {route(`{ match: { path_prefix: / }, redirect: { scheme: https } }`), ""},
		"to https behind a proxy":         {"trusted_proxies: [10.0.0.0/8]\n" + route(`{ match: { path_prefix: / }, redirect: { scheme: https } }`), `for requests by http alone set https_redirect: true at their listener`},
		"a star":                          {route(`{ match: { path: /abc/* }, upstream: site }`), `:9:20: warning: routes[0].match.path: found "/abc/*", in which * and : stand for themselves: paths of routes have no patterns; a path_prefix takes all paths below it`},
		"a variable of others":            {route(`{ match: { path_prefix: "/abc/:id" }, upstream: site }`), `found "/abc/:id", in which`},
		"a method that is not usual":      {route(`{ match: { path: /a, methods: [GTE] }, upstream: site }`), `:9:33: warning: routes[0].match.methods: found "GTE": did you mean "GET"?` + "\n"},
		"retry beside respond":            {route(`{ match: { path: /a }, respond: {}, policy: { retry: {} } }`), `:9:56: warning: routes[0].policy.retry: it does nothing here, as the gateway answers by itself`},
		"a breaker beside redirect":       {route(`{ match: { path: /a }, redirect: { path: /b }, policy: { circuit_breaker: {} } }`), `routes[0].policy.circuit_breaker: it does nothing here`},
		"timeout and body beside respond": {route(`{ match: { path: /a }, respond: {}, policy: { timeout: 1s, limits: { max_body_bytes: 1 } } }`), `routes[0].policy.limits.max_body_bytes: it does nothing here, as the gateway answers`},
		"inherited":                       {"defaults: { timeout: 1s, limits: { max_message_bytes: 9 } }\n" + route(`{ match: { path: /a }, respond: {} }`), ""},
		"limits of messages":              {route(`{ match: { path: /a }, upstream: site, policy: { limits: { max_response_bytes: 1 } } }`), `:9:82: warning: routes[0].policy.limits.max_response_bytes: it does nothing here, as it is for messages of gRPC`},
		"idle time":                       {route(`{ match: { path: /a }, upstream: site, policy: { idle_timeout: 1s } }`), ""},
		"idle time beside respond":        {route(`{ match: { path: /a }, respond: {}, policy: { idle_timeout: 1s } }`), `routes[0].policy.idle_timeout: it does nothing here, as the gateway answers`},
		"a fault that does not happen":    {route(`{ match: { path: /a }, upstream: site, policy: { fault: { delay: 1s } } }`), `:9:59: warning: fault: it does nothing, as the configuration does not have faults: true`},
		"a method's fault":                {"defaults: { fault: { delay: 1s } }", `:8:20: warning: fault: it does nothing`},
		"faults":                          {"faults: true\ndefaults: { fault: { delay: 1s } }", `warning: faults: true lets the policy fault delay and fail calls on purpose`},
		"weights of 0":                    {route(`{ match: { path: /a }, policy: { split: { branches: [{ upstream: site, weight: 0 }] } } }`), `:9:34: warning: split: the weights sum to 0`},
		"never":                           {route("{ match: { path: /a, methods: [GET] }, upstream: site }\n- { match: { path: /a, methods: [POST] }, upstream: site }\n- { match: { path: /a, methods: [GET, POST] }, upstream: site }"), `routes[2].match.methods: it can never match: its methods are all taken by routes before it, the last of them routes[1] (`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "transom.yaml": "schemas: [{ directory: protos }]\n" + rules + `upstreams:
  a: { grpc: { target: "localhost:1" } }
  site: { http: { servers: ["localhost:2"] } }
  others: { http: { servers: ["localhost:3"] } }

` + test.config})
			code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != 0 || !strings.Contains(err, test.want) || (err == "") != (test.want == "") || strings.Contains(out, "warning") != (test.want != "") {
				t.Errorf("%d %q %q, want %q", code, out, err, test.want)
			}
		})
	}
}

// TestCheckWarnsOfCallersOfRoutes: what routes demand of callers whom nobody knows is named as
// it is of methods.
func TestCheckWarnsOfCallersOfRoutes(t *testing.T) {
	for policy, want := range map[string]string{
		`auth: { session: {} }`: `:2:70: warning: auth.session: no method opens a session`,
		`headers: { request: { set: { X-Who: "${claim.sub}" } } }`:                     `:2:70: warning: headers: ${claim.sub} is empty here: there is no auth.jwt`,
		`headers: { response: { set: { X-Who: "${principal}" } } }, auth: { jwt: {} }`: "",
	} {
		dir := folder(t, map[string]string{"transom.yaml": `upstreams: { site: { http: { servers: ["localhost:2"] } } }
routes: [{ match: { path_prefix: /account }, upstream: site, policy: { ` + policy + ` } }]
auth: { jwt: [{ issuer: me, secret: "0123456789abcdef0123456789abcdef" }] }
`})
		code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
		if code != 0 || !strings.Contains(err, want) || (err == "") != (want == "") {
			t.Errorf("%s: %d %q, want %q", policy, code, err, want)
		}
	}
}

// TestCheckWarnsOfPlainUpstreams: methods that no upstream is for, and upstreams that are one
// (Traffic 210).
func TestCheckWarnsOfPlainUpstreams(t *testing.T) {
	for name, test := range map[string]struct{ config, want string }{
		"plain HTTP alone": {"upstreams: { site: { http: { servers: [\"localhost:2\"] } } }", `:2:12: warning: upstreams: found those of plain HTTP alone, so that every call of a gRPC method is answered with 503`},
		"twins": {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"] } }",
			`transom.yaml:5:8: warning: upstreams.two: it has the servers of upstreams.one (`},
		"twins of which one says the default": {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"], protocol: H1 } }",
			`transom.yaml:5:8: warning: upstreams.two: it has the servers of upstreams.one (`},
		"another protocol":  {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"], protocol: H2C } }", ""},
		"other timeouts":    {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"], timeouts: { idle: 1s } } }", ""},
		"other credentials": {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"], credentials: { bearer: x } } }", ""},
		"not alike":         {"upstreams:\n  a: { grpc: { target: \"localhost:1\" } }\n  one: { http: { servers: [\"localhost:2\"] } }\n  two: { http: { servers: [\"localhost:2\"], outlier: {} } }", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "transom.yaml": "schemas: [{ directory: protos }]\n" + test.config})
			code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
			if code != 0 || !strings.Contains(err, test.want) || (err == "") != (test.want == "") {
				t.Errorf("%d %q, want %q", code, err, test.want)
			}
		})
	}
	dir := folder(t, map[string]string{"transom.yaml": "routes: [{ match: { path: /a }, respond: {} }]"})
	if code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml")); code != 0 || err != "" || out != "ok: 1 route\n" {
		t.Errorf("answers alone need no upstream: %d %q %q", code, out, err)
	}
}

// TestRoutesShowWhatRoutesAsk: `routes` shows headers and parameters of the query that a route
// asks for, and where its own answers lead (Traffic 210).
func TestRoutesShowWhatRoutesAsk(t *testing.T) {
	dir := folder(t, map[string]string{"transom.yaml": `routes:
- { match: { path: /a, headers: { X-Beta: "yes" }, query: { v: "2" } }, respond: { status: 404 } }
- { match: { path: /a, headers: { X-Beta: "no" } }, respond: {} }
- { match: { path_prefix: /old }, redirect: { replace_prefix: /new } }
- { match: { path_prefix: /s, host: shop.example }, redirect: { scheme: https, port: 8443 } }
- { match: { path: /else }, redirect: { host: other.example, path: /here } }
`})
	config := filepath.Join(dir, "transom.yaml")
	_, out, _ := command(t, "routes", "--config", config)
	for _, want := range []string{
		"/a [x-beta: yes] [?v=2] ", " respond 404 ", "/a [x-beta: no] ", " respond 200 ",
		" redirect /new/** ", " redirect https://shop.example:8443/s/** ", " redirect //other.example/here ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("routes:\n%s\nlacks %q", out, want)
		}
	}
	if header, _, _ := strings.Cut(out, "\n"); strings.Join(strings.Fields(header), " ") != "METHOD PATH UPSTREAM POLICIES" {
		t.Errorf("the columns are %q, of which methods alone would have others", header)
	}
	for _, test := range [][]string{
		{"https://shop.example/s/x", "redirect   https://shop.example:8443/s/x"},
		{"http://shop.example:8080/s?q", "redirect   https://shop.example:8443/s?q"},
		{"http://shop.example", "no route for /"},
		{"/s", "no route for /s"},
	} {
		if _, out, _ := command(t, "explain", "GET", test[0], "--config", config); !strings.Contains(out, test[1]) {
			t.Errorf("explain GET %s:\n%s\nlacks %q", test[0], out, test[1])
		}
	}
	_, out, _ = command(t, "routes", "--json", "--config", config)
	for _, want := range []string{`"conditions": [` + "\n" + `        "[x-beta: no]"`, `"answer": "redirect /new/**"`} {
		if !strings.Contains(out, want) {
			t.Errorf("routes --json:\n%s\nlacks %q", out, want)
		}
	}
}
