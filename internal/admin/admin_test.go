package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fakeGateway is a gateway with a function for each question that a test asks.
type fakeGateway struct {
	ready  string // empty for ready, else why not
	status Status
	routes []Route
	reload func() (string, []Problem)
}

var _ Gateway = (*fakeGateway)(nil)

func (g *fakeGateway) Ready() (bool, string)                      { return g.ready == "", g.ready }
func (g *fakeGateway) Status() Status                             { return g.status }
func (g *fakeGateway) Routes() []Route                            { return g.routes }
func (g *fakeGateway) Reload(context.Context) (string, []Problem) { return g.reload() }

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func newGateway() *fakeGateway {
	return &fakeGateway{
		status: Status{
			Generation: 3, LoadedAt: noon,
			Upstreams: []Upstream{
				{Name: "books", Target: "dns:///books:50051", State: "READY", Endpoints: []Endpoint{
					{Addresses: []string{"10.0.0.1:50051"}, State: "READY", Since: noon, Used: true, Weight: 1, Connections: 2, InFlight: 3, Calls: 9, Faults: 1, LatencyMS: 1.5},
					{Addresses: []string{"10.0.0.2:50051", "[2001:db8::2]:50051"}, State: "UNHEALTHY", Why: "<it says so>", Since: noon, Used: true, Zone: "eu-1a", Weight: 2, Priority: 1, Ejections: 4,
						Checks: []Check{{Service: "s", Why: "<it says so>", At: noon}}},
				}},
				{Name: "desk", Target: "desk:1", State: "TRANSIENT_FAILURE", Failure: "dial tcp 10.0.0.1:1: refused"},
			},
		},
		routes: []Route{
			{Method: "GET", Path: "/v1/{name=shelves/*}", RPC: "bookstore.v1.BookstoreService/GetShelf", Stream: "unary", Upstream: "books", Policies: []string{"auth"}},
			{Method: "GET", Path: "/legacy/", Upstream: "legacy"},
		},
		reload: func() (string, []Problem) { return "+3 routes, −1, ~2", nil },
	}
}

var broken = []Problem{
	{File: "a.proto", Line: 3, Column: 7, Message: "unknown type <Book>"},
	{File: "transom.yaml", Line: 9, Message: "unknown upstream"},
	{Message: "nothing to serve"},
}

// ask sends one request to a server on a real connection.
func ask(t *testing.T, g Gateway, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(New(Options{
		Version: "1.2.3<", Gateway: g, Hosts: []string{"gateway.internal"},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	}))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Host = r.Header.Get("Host")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAnswers(t *testing.T) {
	failed := newGateway()
	failed.status.Problems, failed.status.FailedAt = broken, noon.Add(time.Hour)
	leftOut := newGateway()
	leftOut.status.Problems = broken[:1]
	draining := &fakeGateway{ready: "draining"}
	for _, test := range []struct {
		name, path string
		gateway    Gateway
		code       int
		body       string
	}{
		{"alive", "/healthz", draining, 200, "ok\n"},
		{"ready", "/readyz", newGateway(), 200, "ready\n"},
		{"not ready", "/readyz", draining, 503, "not ready: draining\n"},
		{"the reason stays on its line", "/readyz", &fakeGateway{ready: "a\nready"}, 503, "not ready: a ready\n"},
		{"verbose", "/readyz?verbose", newGateway(), 200, "ready\ngeneration: 3, loaded 2026-11-01T12:00:00Z\nlast reload: ok\nupstream books dns:///books:50051: READY, 1 of 2 endpoints\n  10.0.0.2:50051, [2001:db8::2]:50051: UNHEALTHY: <it says so> (used, as none is better)\nupstream desk desk:1: TRANSIENT_FAILURE: dial tcp 10.0.0.1:1: refused\n"},
		{"verbose before the first snapshot", "/readyz?verbose=1", draining, 503, "not ready: draining\ngeneration: none\nlast reload: ok\n"},
		{"Semantics 50: a failed reload keeps the snapshot and says where", "/readyz?verbose", failed, 200, "ready\ngeneration: 3, loaded 2026-11-01T12:00:00Z\nlast reload: failed 2026-11-01T13:00:00Z\n" +
			"  a.proto:3:7: unknown type <Book>\n  transom.yaml:9: unknown upstream\n  nothing to serve\nupstream books dns:///books:50051: READY, 1 of 2 endpoints\n  10.0.0.2:50051, [2001:db8::2]:50051: UNHEALTHY: <it says so> (used, as none is better)\nupstream desk desk:1: TRANSIENT_FAILURE: dial tcp 10.0.0.1:1: refused\n"},
		{"Semantics 53: a reload that left a file out", "/readyz?verbose", leftOut, 200, "ready\ngeneration: 3, loaded 2026-11-01T12:00:00Z\nlast reload: ok, but for\n" +
			"  a.proto:3:7: unknown type <Book>\nupstream books dns:///books:50051: READY, 1 of 2 endpoints\n  10.0.0.2:50051, [2001:db8::2]:50051: UNHEALTHY: <it says so> (used, as none is better)\nupstream desk desk:1: TRANSIENT_FAILURE: dial tcp 10.0.0.1:1: refused\n"},
		{"metrics", "/metrics", newGateway(), 200, "up 1\n"},
		{"elsewhere", "/nothing", newGateway(), 404, "no page is at /nothing; / names those that there are\n"},
		{"GET does not reload", "/reload", newGateway(), 405, "found GET, expected POST for /reload\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := ask(t, test.gateway, "GET", test.path)
			if response.StatusCode != test.code || body != test.body {
				t.Errorf("got %d %q, want %d %q", response.StatusCode, body, test.code, test.body)
			}
			for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options"} {
				if response.Header.Get(name) == "" {
					t.Errorf("%s is missing", name)
				}
			}
		})
	}
}

func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRoutes(t *testing.T) {
	_, body := ask(t, newGateway(), "GET", "/routes")
	wantJSON(t, body, `{"routes": [
		{"method": "GET", "path": "/v1/{name=shelves/*}", "rpc": "bookstore.v1.BookstoreService/GetShelf", "stream": "unary", "upstream": "books", "policies": ["auth"]},
		{"method": "GET", "path": "/legacy/", "upstream": "legacy", "policies": []}]}`)
	_, body = ask(t, &fakeGateway{}, "GET", "/routes")
	wantJSON(t, body, `{"routes": []}`)
}

// TestUpstreams: Traffic 181: each endpoint with its state, why, since when and its last
// checks, as JSON and for people.
func TestUpstreams(t *testing.T) {
	_, body := ask(t, newGateway(), "GET", "/upstreams")
	wantJSON(t, body, `{"upstreams": [
		{"name": "books", "target": "dns:///books:50051", "state": "READY", "endpoints": [
			{"addresses": ["10.0.0.1:50051"], "state": "READY", "since": "2026-11-01T12:00:00Z", "used": true, "weight": 1, "priority": 0, "connections": 2, "in_flight": 3, "calls": 9, "faults": 1, "ejections": 0, "latency_ms": 1.5},
			{"addresses": ["10.0.0.2:50051", "[2001:db8::2]:50051"], "state": "UNHEALTHY", "why": "<it says so>", "since": "2026-11-01T12:00:00Z", "used": true, "zone": "eu-1a", "weight": 2, "priority": 1,
			 "connections": 0, "in_flight": 0, "calls": 0, "faults": 0, "ejections": 4, "latency_ms": 0, "checks": [{"service": "s", "healthy": false, "why": "<it says so>", "at": "2026-11-01T12:00:00Z"}]}]},
		{"name": "desk", "target": "desk:1", "state": "TRANSIENT_FAILURE", "why": "dial tcp 10.0.0.1:1: refused", "endpoints": []}]}`)
	_, body = ask(t, &fakeGateway{}, "GET", "/upstreams")
	wantJSON(t, body, `{"upstreams": []}`)
	_, page := ask(t, newGateway(), "GET", "/")
	for _, want := range []string{
		"<td>books<td>10.0.0.1:50051<td>READY<td>2026-11-01T12:00:00Z<td>3<td>1.5 ms<td>0",
		"<td>10.0.0.2:50051, [2001:db8::2]:50051<td>UNHEALTHY: &lt;it says so&gt; (used, as none is better)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestReload(t *testing.T) {
	g := newGateway()
	response, body := ask(t, g, "POST", "/reload")
	if response.StatusCode != 200 {
		t.Errorf("got %d, want 200", response.StatusCode)
	}
	wantJSON(t, body, `{"changed": "+3 routes, −1, ~2", "generation": 3}`)

	g.status.Problems = broken[2:]
	_, body = ask(t, g, "POST", "/reload")
	wantJSON(t, body, `{"changed": "+3 routes, −1, ~2", "generation": 3, "problems": [{"message": "nothing to serve"}]}`)

	g.reload = func() (string, []Problem) { return "", broken }
	response, body = ask(t, g, "POST", "/reload")
	if response.StatusCode != 422 || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s, want 422 application/json", response.StatusCode, response.Header.Get("Content-Type"))
	}
	wantJSON(t, body, `{"problems": [
		{"file": "a.proto", "line": 3, "column": 7, "message": "unknown type <Book>"},
		{"file": "transom.yaml", "line": 9, "message": "unknown upstream"},
		{"message": "nothing to serve"}]}`)

	response, _ = ask(t, g, "POST", "/reload", "Accept", "text/html,application/xhtml+xml")
	if response.StatusCode != 303 || response.Header.Get("Location") != "/page" {
		t.Errorf("the page's form gets %d to %q, want 303 to /page", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	g := newGateway()
	g.reload = func() (string, []Problem) {
		t.Error("another site caused a reload")
		return "", nil
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
	} {
		if response, _ := ask(t, g, "POST", "/reload", header...); response.StatusCode != 403 {
			t.Errorf("%q: got %d, want 403", header, response.StatusCode)
		}
	}
}

// TestOtherSitesTakeNoProfile: a page of another origin cannot have the process profiled; a
// person, a page of the listener's own and curl can.
func TestOtherSitesTakeNoProfile(t *testing.T) {
	for _, test := range []struct {
		site string
		want int
	}{{"cross-site", 403}, {"same-site", 403}, {"same-origin", 200}, {"none", 200}, {"", 200}} {
		for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/"} {
			var header []string
			if test.site != "" {
				header = []string{"Sec-Fetch-Site", test.site}
			}
			if response, _ := ask(t, newGateway(), "GET", path, header...); response.StatusCode != test.want {
				t.Errorf("%s from %q: got %d, want %d", path, test.site, response.StatusCode, test.want)
			}
		}
	}
}

func TestAllow(t *testing.T) {
	for _, test := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"GET", "/reload", 405, "POST"},
		{"DELETE", "/metrics", 405, "GET, HEAD"},
		{"PUT", "/debug/pprof/symbol", 405, "GET, HEAD, POST"},
		{"HEAD", "/healthz", 200, ""},
		{"POST", "/nothing", 404, ""},
	} {
		response, _ := ask(t, newGateway(), test.method, test.path)
		if got := response.Header.Get("Allow"); response.StatusCode != test.code || got != test.allow {
			t.Errorf("%s %s: got %d and Allow %q, want %d and %q", test.method, test.path, response.StatusCode, got, test.code, test.allow)
		}
	}
}

func TestHostNames(t *testing.T) {
	for _, test := range []struct {
		host, path string
		want       int
	}{
		{"localhost:9901", "/", 200},
		{"LOCALHOST.", "/", 200},
		{"transom.localhost:9901", "/", 200},
		{"127.0.0.1", "/", 200},
		{"[::1]:9901", "/", 200},
		{"[::1]", "/", 200},
		{"10.1.2.3:9901", "/", 200},
		{"gateway.internal:9901", "/", 200},
		{"evil.example", "/", 421},
		{"evil.example:9901", "/routes", 421},
		{"127.0.0.1.evil.example", "/debug/pprof/heap", 421},
		{"localhost.evil.example", "/readyz?verbose", 421},
		{"pod.default.svc", "/readyz", 200},
		{"pod.default.svc:9901", "/metrics", 200},
		{"pod.default.svc", "/healthz", 200},
	} {
		if response, _ := ask(t, newGateway(), "GET", test.path, "Host", test.host); response.StatusCode != test.want {
			t.Errorf("%s%s: got %d, want %d", test.host, test.path, response.StatusCode, test.want)
		}
	}
}

func TestPage(t *testing.T) {
	g := newGateway()
	g.status.Problems, g.status.FailedAt, g.ready = broken, noon, "draining <b>"
	response, body := ask(t, g, "GET", "/")
	if got := response.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("content type is %s", got)
	}
	g.status.FailedAt = time.Time{}
	if _, body := ask(t, g, "GET", "/"); !strings.Contains(body, "Loaded, but for") || strings.Contains(body, "failed") {
		t.Errorf("a reload that worked is shown as one that did not:\n%s", body)
	}
	for _, want := range []string{
		"1.2.3&lt;", "The reload at 2026-11-01T12:00:00Z failed", "Not ready: draining &lt;b&gt;", "Generation 3 is in service", "2 routes",
		"a.proto:3:7: unknown type &lt;Book&gt;", "<td>/v1/{name=shelves/*}", "<td>READY", `href="/metrics"`, "<td>auth",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// TestPageOfRoutes: plain HTTP routes are told apart by what they ask for, and have no columns
// of methods.
func TestPageOfRoutes(t *testing.T) {
	g := newGateway()
	g.routes = []Route{
		{Method: "*", Path: "/a/**", Upstream: "site", Conditions: []string{"[x-beta: yes]", "[?v=2]"}},
		{Method: "*", Path: "/old/**", Answer: "redirect /a/**"},
	}
	_, body := ask(t, g, "GET", "/")
	for _, want := range []string{"<th>Path<th>Upstream<th>", "<td>/a/** [x-beta: yes] [?v=2]<td>site<td>", "<td>/old/**<td>redirect /a/**<td>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		if response, body := ask(t, newGateway(), "GET", path); response.StatusCode != 200 || body == "" {
			t.Errorf("%s: got %d", path, response.StatusCode)
		}
	}
}

func TestPageIsBounded(t *testing.T) {
	g := newGateway()
	g.routes = make([]Route, 20000)
	_, body := ask(t, g, "GET", "/")
	if len(body) > 100<<10 || !strings.Contains(body, "20000 routes") || !strings.Contains(body, "The first 500 are shown") {
		t.Errorf("the page has %d bytes", len(body))
	}
}
