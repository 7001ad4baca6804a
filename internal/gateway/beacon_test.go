package gateway_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const (
	shop  = "https://shop.example"
	click = `{"type": "user.click", "anonymousId": "a1"}`
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBeacon: Events 189 and 191: whatever form a beacon has, its events are published and it is answered
// with 204 and no body.
func TestBeacon(t *testing.T) {
	recorder := new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder, Config: `
trusted_proxies: [127.0.0.1/32]
events: { behaviour: { beacon: /e, origins: ["` + shop + `"], write_keys: [k1] } }
`})
	for _, test := range []struct{ name, path, body, contentType, encoding string }{
		{"text", "/e", click, "text/plain;charset=UTF-8", ""},
		{"JSON", "/e", "[" + click + "]", "application/json", ""},
		{"a form", "/e", "data=" + url.QueryEscape(click), "application/x-www-form-urlencoded", ""},
		{"CloudEvents", "/e", `{"specversion": "1.0", "id": "1", "source": "/", "type": "user.click", "data": {"anonymousId": "a1"}}`, "application/cloudevents+json", ""},
		{"a batch of CloudEvents", "/e", `[{"specversion": "1.0", "id": "2", "source": "/", "type": "user.click", "data": {"anonymousId": "a1"}}]`, "application/cloudevents-batch+json", ""},
		{"gzip by the header", "/e", zipped(t, click), "text/plain", "gzip"},
		{"gzip by the query", "/e?compression=gzip&v=1", zipped(t, click), "text/plain", ""},
		{"with wrong ones", "/e", `{"events": [` + click + `, {"type": "auth.login"}, 7]}`, "text/plain", ""},
	} {
		recorder.Reset()
		h := []string{"Content-Type", test.contentType, "Origin", shop, "X-Forwarded-For", "198.51.100.77"}
		if test.encoding != "" {
			h = append(h, "Content-Encoding", test.encoding)
		}
		a := g.Do(t, "POST", test.path, test.body, h...)
		got := recorder.All()
		if a.Status != 204 || a.Body != "" || len(got) != 1 || got[0].Type != "user.click" || got[0].Key != "a1" || got[0].Topic != "user_behaviors" ||
			got[0].Source != "/transom/transom.v1.EventService/Publish" || !strings.Contains(string(got[0].Data), `"address":"198.51.100.0"`) || got[0].Extension("correlationid") != a.Header.Get("X-Request-Id") {
			t.Errorf("%s: got %v and %+v", test.name, a, got)
		}
	}
	recorder.Reset()
	for _, test := range []struct {
		name, method, body string
		headers            []string
		want               int
	}{
		{"no JSON", "POST", "text", []string{"Origin", shop}, 400},
		{"nothing", "POST", "", []string{"Origin", shop}, 400},
		{"an image", "POST", click, []string{"Origin", shop, "Content-Type", "image/png"}, 415},
		{"brotli", "POST", click, []string{"Origin", shop, "Content-Encoding", "br"}, 415},
		{"large", "POST", strings.Repeat(" ", 256<<10) + click, []string{"Origin", shop}, 413},
		{"large when inflated", "POST", zipped(t, strings.Repeat(" ", 1<<20)+click), []string{"Origin", shop, "Content-Encoding", "gzip"}, 413},
		{"another origin", "POST", click, []string{"Origin", "https://evil.example"}, 403},
		{"no origin", "POST", click, nil, 403},
		{"GET", "GET", "", []string{"Origin", shop}, 405},
	} {
		if a := g.DoWith(t, g.HTTP2, test.method, "/e", test.body, test.headers...); a.Status != test.want {
			t.Errorf("%s: got %v, want %d", test.name, a, test.want)
		}
	}
	if got := recorder.All(); len(got) != 0 {
		t.Errorf("%+v was published", got)
	}
	for _, headers := range [][]string{{"Origin", g.URL}, {"Sec-Fetch-Site", "same-origin"}, {"X-Write-Key", "k1"}} {
		if a := g.Do(t, "POST", "/e", click, headers...); a.Status != 204 {
			t.Errorf("%v: %v", headers, a)
		}
	}
	scrape := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	if text := scrape.Body.String(); !strings.Contains(text, `transom_behaviour_events_total{reason="forged",result="rejected"} 1`) {
		t.Error(text)
	}
}

// TestBeaconCORS: Events 190: the exact origin of a page is echoed, with credentials, as sendBeacon
// always sends them.
func TestBeaconCORS(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Events: new(eventtest.Recorder), Config: `
defaults: { cors: { allowed_origins: ["*"] } }
events: { behaviour: { beacon: /e, script: /transom.js, origins: ["` + shop + `", "https://other.example"] } }
`})
	preflight := func(origin string) gatewaytest.Answer {
		return g.Do(t, "OPTIONS", "/e", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	}
	for _, a := range []gatewaytest.Answer{g.Do(t, "POST", "/e", click, "Origin", shop), preflight(shop)} {
		if a.Status != 204 || a.Header.Get("Access-Control-Allow-Origin") != shop || a.Header.Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(strings.Join(a.Header["Vary"], ","), "Origin") {
			t.Error(a)
		}
	}
	if a := preflight(shop); a.Header.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "content-type") {
		t.Error(a)
	}
	for _, origin := range []string{"https://evil.example", "null", shop + ".evil.example"} {
		for _, a := range []gatewaytest.Answer{g.Do(t, "POST", "/e", click, "Origin", origin), preflight(origin)} {
			if a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", origin, a)
			}
		}
	}
}

// TestBeaconPolicies: Events 188, 194 and 201: a beacon has policies of its own, and a cookie for its
// session where that is asked for.
func TestBeaconPolicies(t *testing.T) {
	recorder := new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder, Config: `
events:
  behaviour:
    beacon: /e
    write_keys: [k1]
    session: { cookie: visit }
    policy: { rate_limit: [{ requests: 2, per: 86400s, key: HEADER, header: x-client }] }
`})
	a := g.Do(t, "POST", "/e?key=k1", click, "X-Client", "a")
	visit, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Set-Cookie"), "visit="), ";")
	if a.Status != 204 || len(visit) != 26 || !strings.Contains(string(recorder.All()[0].Data), `"sessionId":"`+visit+`"`) {
		t.Error(a, visit)
	}
	if a := g.Do(t, "POST", "/e?key=k1", click, "X-Client", "a", "Cookie", "visit="+visit); !strings.HasPrefix(a.Header.Get("Set-Cookie"), "visit="+visit) {
		t.Error(a)
	}
	if a := g.Do(t, "POST", "/e?key=k1", click, "X-Client", "a"); a.Status != 429 {
		t.Error(a)
	}
	if a := g.Do(t, "POST", "/e?key=k1", click, "X-Client", "b", "Sec-Gpc", "1"); a.Status != 204 || a.Header.Get("Set-Cookie") != "" || len(recorder.All()) != 2 {
		t.Errorf("Events 196: %v %v", a, recorder.All())
	}
	var listed []string
	for _, r := range g.Routes() {
		if r.Path == "/e" {
			listed = append(listed, fmt.Sprint(r.Method, " ", r.Answer, " ", r.Policies))
		}
	}
	if strings.Join(listed, "\n") != "POST beacon of events [rate_limit cors]" {
		t.Error(listed)
	}
}

// TestBeaconLimits: Events 201: beacons are limited by write key, wherever it stands, by address and by caller; what is too
// much is 429, and counted.
func TestBeaconLimits(t *testing.T) {
	const limit = "rate_limit: [{ requests: 1, per: 86400s, burst: 1, "
	for name, test := range map[string]struct {
		limit       string
		first, then []string // path and headers
		others      []string
	}{
		"by write key": {limit + "key: HEADER, header: x-write-key }]", []string{"/e?key=k1", "X-Write-Key", "random"}, []string{"/e", "X-Write-Key", "k1"}, []string{"/e?key=k2"}},
		"by address":   {limit + "key: CLIENT_IP }]", []string{"/e?key=k1", "X-Forwarded-For", "198.51.100.1"}, []string{"/e?key=k2", "X-Forwarded-For", "198.51.100.1"}, []string{"/e?key=k1", "X-Forwarded-For", "198.51.100.2"}},
		"by caller": {"auth: { jwt: {} }, " + limit + "key: PRINCIPAL }]", append([]string{"/e?key=k1"}, bearerOf(t, "ann")...), append([]string{"/e?key=k2"}, bearerOf(t, "ann")...),
			append([]string{"/e?key=k1"}, bearerOf(t, "bob")...)},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := new(eventtest.Recorder)
			g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder, Config: jwtConfig + `
trusted_proxies: [127.0.0.1/32]
events:
  behaviour:
    beacon: /e
    write_keys: [k1, k2]
    policy: { ` + test.limit + ` }
`})
			for i, of := range []struct {
				request []string
				want    int
			}{{test.first, 204}, {test.then, 429}, {test.others, 204}} {
				if a := g.Do(t, "POST", of.request[0], click, of.request[1:]...); a.Status != of.want {
					t.Errorf("request %d: got %v, want %d", i, a, of.want)
				}
			}
			if n := len(recorder.All()); n != 2 {
				t.Errorf("%d events", n)
			}
			if all := metricsOf(g); !strings.Contains(all, `transom_policy_decisions_total{policy="rate_limit",result="refused",rpc="POST /e"} 1`) {
				t.Error("it is not counted")
			}
		})
	}
}

// TestScript: Events 202: the script for pages is small, and kept by browsers.
func TestScript(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Events: new(eventtest.Recorder), Config: "events: { behaviour: { script: /transom.js } }\n"})
	a := g.Do(t, "GET", "/transom.js", "", "Accept-Encoding", "br;q=0, gzip")
	if a.Status != 200 || len(a.Body) > 2048 || a.Header.Get("Content-Encoding") != "gzip" || a.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d bytes, %v", len(a.Body), a.Header)
	}
	plain := g.Do(t, "GET", "/transom.js", "", "Accept-Encoding", "gzip;q=0")
	if plain.Status != 200 || !strings.Contains(plain.Body, "sendBeacon") || plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Etag") == a.Header.Get("Etag") {
		t.Error(plain)
	}
	if again := g.Do(t, "GET", "/transom.js", "", "If-None-Match", a.Header.Get("Etag"), "Accept-Encoding", "gzip"); again.Status != 304 || again.Body != "" {
		t.Error(again)
	}
	if off := gatewaytest.Start(t, gatewaytest.Options{Events: new(eventtest.Recorder), Config: "events: { behaviour: {} }\n"}); off.Do(t, "GET", "/transom.js", "").Status != 404 {
		t.Error("the script is there without being asked for")
	}
}

// TestBeaconPaths: Events 188: a path that something else has is a mistake with its place.
func TestBeaconPaths(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Events: new(eventtest.Recorder)})
	base, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range []string{
		"events: { behaviour: { beacon: /bookstore.v1.BookstoreService/GetShelf } }\n",
		"events: { behaviour: { beacon: /v1/shelves } }\n",
		"events: { behaviour: { beacon: /e } }\nroutes: [{ match: { path: /e, methods: [POST] }, respond: { status: 200 } }]\n",
		"events: { behaviour: { beacon: e } }\n",
		"events: { behaviour: { beacon: /e, script: /e } }\n",
		"events: { behaviour: { beacon: /e, origins: [\"*\"] } }\n",
		"events: { behaviour: { beacon: /e, origins: [\"https://Shop.example/\"] } }\n",
		"events: { behaviour: { origins: [\"https://shop.example\"] } }\n",
		"events: { behaviour: { beacon: /e, write_keys: [\"\"] } }\n",
		"events: { behaviour: { consent: {} } }\n",
		"events: { behaviour: { session: { cookie: \"a b\" } } }\n",
		"events: { behaviour: { query: [\"a*b\"] } }\n",
		"events: { prefix: v1/, behaviour: {} }\n",
	} {
		if err := os.WriteFile(g.Config, append(slices.Clip(base), config...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "transom.yaml:") || !strings.Contains(err.Error(), "events.") {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// TestBeaconAlone: a gateway may have no API, and take the events of pages alone.
func TestBeaconAlone(t *testing.T) {
	recorder := new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder})
	if err := os.WriteFile(g.Config, []byte("events: { behaviour: { beacon: /e, origins: [\""+shop+"\"] } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := g.Do(t, "POST", "/e", click, "Content-Type", "text/plain", "Origin", shop); a.Status != 204 || len(recorder.All()) != 1 {
		t.Errorf("%d %s, %d events", a.Status, a.Body, len(recorder.All()))
	}
	if ready, why := g.Ready(); !ready {
		t.Error("it is not ready:", why)
	}
	if a := g.Do(t, "POST", "/v1/events", click); a.Status != 200 || len(recorder.All()) != 2 {
		t.Errorf("%d %s, %d events", a.Status, a.Body, len(recorder.All()))
	}
}
