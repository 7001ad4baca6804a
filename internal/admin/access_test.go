package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// operatedGateway is a fakeGateway with circuit breakers and endpoints.
type operatedGateway struct {
	*fakeGateway
	set []string
}

var _ Operated = (*operatedGateway)(nil)

func (g *operatedGateway) Circuits() []Circuit {
	return []Circuit{{Upstream: "books", RPC: "p.S/M", State: "open", OpenFor: "3s", Calls: 20, Failures: 10}}
}

func (g *operatedGateway) PurgeCache(rpc, tag, principal string) (dropped int, told bool, _ error) {
	g.set = append(g.set, "purge "+rpc+" "+tag+" "+principal)
	return 1, tag != "of a store that is away", nil
}

func (g *operatedGateway) SetCircuit(upstream, rpc, state string) (int, error) {
	g.set = append(g.set, upstream+" "+rpc+" "+state)
	if upstream != "books" {
		return 0, errors.New("no such upstream")
	}
	return 1, nil
}

func (g *operatedGateway) SetEndpoint(upstream, address string, out bool) error {
	g.set = append(g.set, upstream+" "+address+map[bool]string{true: " out", false: " in"}[out])
	return nil
}

func (g *operatedGateway) LogLevel() string { return "INFO" }

func (g *operatedGateway) SetLogLevel(level string) error {
	g.set = append(g.set, "log "+level)
	return nil
}

// served sends one request to an admin server, as if from an address off this machine.
func served(o Options, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New(o).ServeHTTP(w, r)
	return w
}

func withTokens(g Gateway, audit *Audit) Options {
	return Options{Gateway: g, Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Audit: audit, Access: Access{Tokens: []Token{
		{"ada", "a token that reads", Reader}, {"bob", "a token that operates", Operator},
	}}}
}

// TestAccess: Surface 231: with tokens, nobody gets more than health and metrics without
// one; one that reads changes nothing, and takes no profile.
func TestAccess(t *testing.T) {
	const read, operate = "Bearer a token that reads", "bearer a token that operates"
	for _, test := range []struct {
		method, target, token string
		want                  int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/readyz?verbose", "", 401},
		{"POST", "/healthz", "", 401},
		{"GET", "/", "", 401},
		{"GET", "/routes", "", 401},
		{"GET", "/routes", "Bearer a token", 401},
		{"GET", "/routes", "Basic a token that reads", 401},
		{"GET", "/routes", "Bearer", 401},
		{"GET", "/nothing", "", 401},
		{"GET", "/routes", read, 200},
		{"GET", "/circuits", read, 200},
		{"HEAD", "/routes", read, 200},
		{"POST", "/reload", read, 403},
		{"GET", "/debug/pprof/cmdline", read, 403},
		{"POST", "/upstreams/books/circuit?state=open", read, 403},
		{"POST", "/upstreams/books/circuit?state=open", "", 401},
		{"POST", "/reload", operate, 200},
		{"GET", "/debug/pprof/cmdline", operate, 200},
		{"POST", "/upstreams/books/circuit?state=open", operate, 200},
		{"POST", "/upgrade", read, 403},
		{"POST", "/upgrade", "", 401},
		{"POST", "/cache/purge?tag=a", read, 403},
		{"POST", "/cache/purge?tag=a", "", 401},
		{"POST", "/cache/purge?tag=a", operate, 200},
		{"POST", "/cache/purge?all=true", operate, 200},
		{"POST", "/cache/purge", operate, 400},
		{"POST", "/cache/purge?tags=a", operate, 400},
		{"POST", "/cache/purge?tag=", operate, 400},
	} {
		g := &operatedGateway{fakeGateway: newGateway()}
		w := served(withTokens(g, nil), test.method, test.target, "Authorization", test.token)
		if w.Code != test.want {
			t.Errorf("%s %s with %q: %d, want %d: %s", test.method, test.target, test.token, w.Code, test.want, w.Body)
		}
		if asks := w.Header().Get("WWW-Authenticate") != ""; asks != (test.want == 401) {
			t.Errorf("%s %s with %q: WWW-Authenticate is there: %v", test.method, test.target, test.token, asks)
		}
	}
	g := &operatedGateway{fakeGateway: newGateway()}
	if w := served(Options{Gateway: g}, "POST", "/upstreams/books/circuit?state=open"); w.Code != 200 {
		t.Errorf("on loopback without tokens: %d", w.Code)
	}
}

// TestPagesOfOthers: Surface 232: a page of another origin, or of a name that resolves to
// this machine, changes nothing, be there tokens or not; curl does.
func TestPagesOfOthers(t *testing.T) {
	for _, test := range []struct {
		name   string
		header []string
		want   int
	}{
		{"curl", nil, 200},
		{"the listener's own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1"}, 200},
		{"a page of another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"an old browser", []string{"Origin", "https://evil.example"}, 403},
		{"another port of this machine", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:3000"}, 403},
	} {
		for _, target := range []string{"/reload", "/upstreams/books/circuit?state=open", "/upstreams/books/endpoint?address=a:1&state=out"} {
			g := &operatedGateway{fakeGateway: newGateway()}
			if w := served(Options{Gateway: g}, "POST", target, test.header...); w.Code != test.want || len(g.set) > 0 && test.want != 200 {
				t.Errorf("%s: POST %s: %d, want %d", test.name, target, w.Code, test.want)
			}
		}
	}
	o := consoled()
	o.Access = Access{}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, path := range []string{"/status", "/policies", "/routes/history?rule=x", "/console/stream", "/debug/pprof/profile", "/events/tail", "/live", "/console/", "/healthz?verbose"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}} {
			if w := served(o, "GET", path, header...); w.Code != 403 {
				t.Errorf("%s for a page of another origin, %q: %d", path, header, w.Code)
			}
		}
		if w := served(o, "GET", path, link...); (w.Code == 403) != goesOn(path) {
			t.Errorf("a link to %s: %d", path, w.Code)
		}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r := httptest.NewRequest(method, "http://rebound.example"+path, nil)
			w := httptest.NewRecorder()
			New(o).ServeHTTP(w, r)
			if w.Code != 421 {
				t.Errorf("%s %s by a name that resolves to this machine: %d", method, path, w.Code)
			}
		}
	}
	if w := served(o, "GET", "/healthz", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"); w.Code != 200 || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("what is open to all: %d %v", w.Code, w.Header())
	}
}

// TestOperate: Traffic 106: breakers and endpoints are set by hand, and so is how much is
// logged (Surface 267).
func TestOperate(t *testing.T) {
	for _, test := range []struct {
		target string
		code   int
		body   string
		set    string
	}{
		{"/upstreams/books/circuit?rpc=p.S/M&state=open", 200, "circuit breakers told: 1\n", "books p.S/M open"},
		{"/upstreams/books/circuit?state=auto", 200, "circuit breakers told: 1\n", "books  auto"},
		{"/upstreams/boks/circuit?state=auto", 404, "no such upstream\n", "boks  auto"},
		{"/upstreams/books/circuit?state=opened", 400, `state: found "opened", expected one of ["open" "closed" "auto"]` + "\n", ""},
		{"/upstreams/books/endpoint?address=10.0.0.5:1&state=out", 200, "done\n", "books 10.0.0.5:1 out"},
		{"/upstreams/books/endpoint?address=10.0.0.5:1&state=in", 200, "done\n", "books 10.0.0.5:1 in"},
		{"/log/level?level=DEBUG", 200, "done\n", "log DEBUG"},
		{"/log/level?level=debug", 400, `level: found "debug", expected one of ["DEBUG" "INFO" "WARN" "ERROR"]` + "\n", ""},
		{"/upstreams/books/endpoint?address=10.0.0.5:1", 400, `state: found "", expected one of ["out" "in"]` + "\n", ""},
	} {
		g := &operatedGateway{fakeGateway: newGateway()}
		w := served(Options{Gateway: g}, "POST", test.target)
		if w.Code != test.code || w.Body.String() != test.body || strings.Join(g.set, ",") != test.set {
			t.Errorf("%s: %d %q, %q", test.target, w.Code, w.Body, g.set)
		}
	}
	w := served(Options{Gateway: &operatedGateway{fakeGateway: newGateway()}}, "GET", "/circuits")
	if got := served(Options{Gateway: &operatedGateway{fakeGateway: newGateway()}}, "GET", "/log/level").Body.String(); got != "INFO\n" {
		t.Errorf("GET /log/level: %q", got)
	}
	wantJSON(t, w.Body.String(), `{"circuits": [{"upstream": "books", "rpc": "p.S/M", "state": "open", "open_for": "3s", "calls": 20, "failures": 10, "in_a_row": 0}]}`)
}

// TestAudit: Surface 267: one line of JSON for each operation and for those who are not let
// in, of whom there may be many; no line has a token.
func TestAudit(t *testing.T) {
	var lines bytes.Buffer
	synced := 0
	audit := NewAudit(&lines, func() error { synced++; return nil }, slog.New(slog.DiscardHandler))
	o := withTokens(&operatedGateway{fakeGateway: newGateway()}, audit)
	const token = "Bearer a token that operates"
	served(o, "POST", "/reload", "Authorization", token)
	served(o, "POST", "/upstreams/books/circuit?rpc=p.S/M&state=open", "Authorization", token)
	served(o, "POST", "/upstreams/boks/circuit?state=open", "Authorization", token)
	served(o, "POST", "/upstreams/books/endpoint?address=a:1&state=out", "Authorization", token)
	served(o, "POST", "/log/level?level=WARN", "Authorization", token)
	served(o, "GET", "/routes", "Authorization", token)
	served(o, "POST", "/reload", "Authorization", "Bearer a token that reads")
	for range 1000 {
		served(o, "POST", "/reload", "Authorization", "Bearer a guess")
	}
	var said []string
	for line := range strings.Lines(lines.String()) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() || e.From == "" {
			t.Fatalf("%v in %s", err, line)
		}
		said = append(said, e.Event+"; "+e.Who+"; "+e.What+"; "+e.Result)
	}
	want := []string{
		"reload; token bob; ; +3 routes, −1, ~2",
		`circuit; token bob; upstream="books" rpc="p.S/M" state="open"; done`,
		`circuit; token bob; upstream="boks" rpc="" state="open"; failed: no such upstream`,
		`endpoint; token bob; upstream="books" address="a:1" state="out"; done`,
		`log_level; token bob; level="WARN" before="INFO"; done`,
		"auth_failed; token ada; POST /reload; ",
		"auth_failed; ; POST /reload; ",
	}
	if len(said) < len(want) || strings.Join(said[:len(want)], "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if len(said) != len(want)-2+maxFailures || synced != len(said) {
		t.Errorf("%d lines, %d of them on the disk, want %d", len(said), synced, len(want)-2+maxFailures)
	}
	if strings.Contains(lines.String(), "a token that") || strings.Contains(lines.String(), "guess") {
		t.Error("the audit log has a token")
	}
}

// TestAuditIsBounded: whoever is not let in does not choose how long a line is.
func TestAuditIsBounded(t *testing.T) {
	var lines bytes.Buffer
	audit := NewAudit(&lines, nil, slog.New(slog.DiscardHandler))
	h := withTokens(&operatedGateway{fakeGateway: newGateway()}, audit)
	served(h, "POST", "/"+strings.Repeat("é", 500_000))
	served(h, "POST", "/upstreams/books/circuit?state=open&rpc="+strings.Repeat("x", 500_000), "Authorization", "Bearer a token that operates")
	for line := range strings.Lines(lines.String()) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil || len(line) > 3000 || !strings.HasSuffix(e.What, "…") || strings.ContainsRune(e.What, '\ufffd') {
			t.Errorf("%d bytes, %v: %.100s", len(line), err, line)
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}
