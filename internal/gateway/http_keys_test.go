package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// till is a plain HTTP server that counts what it does. What it does the path says.
type till struct {
	mu      sync.Mutex
	made    map[string]int // by path
	all     int
	keys    []string
	entered chan string   // of those that hang
	leave   chan struct{} // lets them go on
}

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.made[r.URL.Path]++
	s.all++
	times, id := s.made[r.URL.Path], s.all
	s.keys = append(s.keys, r.Header["Idempotency-Key"]...)
	s.mu.Unlock()
	h := w.Header()
	h.Set("Till", "main")
	h.Set("Set-Cookie", "a=b")
	h.Set("Ratelimit-Limit", "10")
	h.Set("Content-Type", "text/plain; charset=x")
	switch what, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "-"); what {
	case "hang":
		s.entered <- r.URL.Path
		<-s.leave
	case "large":
		_, _ = w.Write(bytes.Repeat([]byte("x"), 300<<10)) // the client looks
		return
	case "events":
		h.Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n") // as above
		_ = http.NewResponseController(w).Flush()
		s.entered <- r.URL.Path
		<-s.leave
		_, _ = io.WriteString(w, "data: 2\n\n") // as above
		return
	case "cut":
		_, _ = io.WriteString(w, "half of it") // as above
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "chunks":
		h.Set("Trailer", "Sum")
		for range 3 {
			_, _ = io.WriteString(w, "piece") // as above
			_ = http.NewResponseController(w).Flush()
		}
		h.Set("Sum", "15")
		return
	case "moved":
		h.Set("Location", "/next")
		w.WriteHeader(http.StatusSeeOther)
		return
	case "empty":
		w.WriteHeader(http.StatusNoContent)
		return
	case "once": // once-503: that, then 200
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/once-"))
		if times == 1 {
			w.WriteHeader(status)
			return
		}
	case "always":
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/always-"))
		w.WriteHeader(status)
	}
	_, _ = fmt.Fprintf(w, "receipt %d for %s", id, body) // as above
}

func (s *till) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[path]
}

// startTill starts the server and a gateway before it.
func startTill(t *testing.T, policy, config string) (*till, *gatewaytest.Gateway) {
	t.Helper()
	s := &till{made: map[string]int{}, entered: make(chan string, 100), leave: make(chan struct{})}
	site := httptest.NewServer(s)
	t.Cleanup(site.Close)
	return s, gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: till, policy: { timeout: 20s, idempotency_key: { scope: METHOD" + policy + " } } }]\n" + config,
	})
}

// TestRouteKeys: Traffic 82, 83, 84, 85, 87, 88, 89, 90, 91, 92, 94, 98: a key on a plain HTTP route.
func TestRouteKeys(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		s, g := startTill(t, "", config)
		post := func(path, key, body string, more ...string) gatewaytest.Answer {
			return g.Do(t, "POST", path, body, append(more, "Idempotency-Key", key)...)
		}
		t.Run("the first answer to all", func(t *testing.T) {
			for _, method := range []string{"POST", "PATCH"} {
				first := g.Do(t, method, "/pay-"+method+"?a=1", "7 euros", "Idempotency-Key", "of-"+method)
				if first.Status != 200 || first.Header.Get("Idempotent-Replayed") != "" || first.Header.Get("Set-Cookie") == "" || first.Header.Get("Till") == "" {
					t.Fatalf("%+v", first)
				}
				for _, key := range []string{"of-" + method, `"of-` + method + `"`} {
					a := g.Do(t, method, "/pay-"+method+"?a=1", "7 euros", "Idempotency-Key", key, "X-Request-Id", "own")
					if a.Status != 200 || a.Body != first.Body || a.Header.Get("Idempotent-Replayed") != "true" || a.Header.Get("Till") != "main" {
						t.Errorf("%+v, want %s", a, first.Body)
					}
					if a.Header.Get("Set-Cookie") != "" || a.Header.Get("Ratelimit-Limit") != "" || a.Header.Get("X-Request-Id") != "own" || a.Header.Get("Content-Type") != "text/plain; charset=x" || a.Header.Get("Content-Length") != fmt.Sprint(len(first.Body)) {
						t.Errorf("%v", a.Header)
					}
				}
				if n := s.times("/pay-" + method); n != 1 {
					t.Errorf("%d times", n)
				}
			}
			if s.keys[0] != "of-POST" {
				t.Errorf("the server gets %q", s.keys)
			}
		})
		t.Run("another request", func(t *testing.T) {
			if a := post("/other", "k2", "one"); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			for name, a := range map[string]gatewaytest.Answer{
				"body":         post("/other", "k2", "two"),
				"path":         post("/other/path", "k2", "one"),
				"query":        post("/other?q", "k2", "one"),
				"content type": post("/other", "k2", "one", "Content-Type", "text/plain"),
				"method":       g.Do(t, "PATCH", "/other", "one", "Idempotency-Key", "k2"),
			} {
				if a.Status != 422 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_REUSED") {
					t.Errorf("%s: %+v", name, a)
				}
			}
			if n := s.times("/other"); n != 1 {
				t.Errorf("%d times", n)
			}
		})
		t.Run("another host", func(t *testing.T) {
			one, two := post("/host", "k3", "x", "X-Forwarded-Host", "ignored"), gatewaytest.Answer{}
			request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/host", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "other.example"
			request.Header = http.Header{"Idempotency-Key": {"k3"}, "Content-Type": {"application/json"}}
			answer, err := g.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close() // its status is what counts
			two.Status = answer.StatusCode
			if one.Status != 200 || two.Status != 200 || s.times("/host") != 2 {
				t.Errorf("%d, %d; %d times", one.Status, two.Status, s.times("/host"))
			}
		})
		t.Run("methods that may be repeated, and no key", func(t *testing.T) {
			for range 2 {
				for _, method := range []string{"GET", "PUT", "DELETE"} {
					if a := g.Do(t, method, "/free", "", "Idempotency-Key", "k4 is bad"); a.Status != 200 || a.Header.Get("Idempotent-Replayed") != "" {
						t.Errorf("%s: %+v", method, a)
					}
				}
				if a := g.Do(t, "POST", "/free", "x"); a.Status != 200 {
					t.Errorf("%+v", a)
				}
			}
			if n := s.times("/free"); n != 8 {
				t.Errorf("%d times", n)
			}
		})
		t.Run("bad keys", func(t *testing.T) {
			for _, key := range []string{strings.Repeat("x", 256), "a b", `"open`} {
				if a := post("/never", key, "x"); a.Status != 400 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_INVALID") || s.times("/never") != 0 {
					t.Errorf("%+v", a)
				}
			}
		})
		t.Run("what is kept", func(t *testing.T) {
			for _, test := range []struct {
				path         string
				first, again int
				reason       string
				made         int
			}{
				{"/always-201", 201, 201, "receipt", 1}, {"/always-400", 400, 400, "receipt", 1}, {"/always-404", 404, 404, "receipt", 1},
				{"/always-409", 409, 409, "receipt", 1}, {"/always-500", 500, 500, "receipt", 1}, {"/moved-1", 303, 303, "", 1}, {"/empty-1", 204, 204, "", 1},
				{"/chunks-1", 200, 200, "piecepiecepiece", 1},
				{"/once-503", 503, 200, "receipt", 2}, {"/once-429", 429, 200, "receipt", 2}, {"/once-401", 401, 200, "receipt", 2}, {"/once-408", 408, 200, "receipt", 2},
				{"/always-502", 502, 502, "OUTCOME_UNKNOWN", 1}, {"/always-504", 504, 504, "OUTCOME_UNKNOWN", 1}, {"/cut-1", 502, 502, "OUTCOME_UNKNOWN", 1},
				{"/large-1", 200, 409, "ANSWER_NOT_KEPT", 1},
			} {
				one, two := post(test.path, "of"+strings.ReplaceAll(test.path, "/", "-"), "x"), post(test.path, "of"+strings.ReplaceAll(test.path, "/", "-"), "x")
				if one.Status != test.first || two.Status != test.again || !strings.Contains(two.Body, test.reason) || s.times(test.path) != test.made {
					t.Errorf("%s: %d, then %d %.300s; %d times", test.path, one.Status, two.Status, two.Body, s.times(test.path))
				}
				if test.again == test.first && test.reason != "OUTCOME_UNKNOWN" && (one.Body != two.Body || one.Header.Get("Location") != two.Header.Get("Location")) {
					t.Errorf("%s: %+v, then %+v", test.path, one, two)
				}
			}
		})
		t.Run("large bodies", func(t *testing.T) {
			if a := post("/body", "k5", strings.Repeat("x", 1<<20)); a.Status != 200 {
				t.Errorf("%d", a.Status)
			}
			if a := post("/body2", "k6", strings.Repeat("x", 1<<20+1)); a.Status != 413 || !strings.Contains(a.Body, "an Idempotency-Key may have; without the header it may be larger") {
				t.Errorf("%+v", a)
			}
			request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/body2", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 2<<20))})
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Idempotency-Key", "k7")
			if answer, err := g.Client.Do(request); err == nil {
				_ = answer.Body.Close() // its status is what counts
				if answer.StatusCode != 413 {
					t.Errorf("chunked: %d", answer.StatusCode)
				}
			}
			if a := g.Do(t, "POST", "/body3", strings.Repeat("x", 1<<20+1)); a.Status != 200 || s.times("/body2") != 0 {
				t.Errorf("without a key: %d", a.Status)
			}
		})
		t.Run("under way", func(t *testing.T) {
			first := make(chan gatewaytest.Answer, 1)
			go func() { first <- post("/hang-1", "slow", "x") }()
			<-s.entered
			if a := post("/hang-1", "slow", "x"); a.Status != 409 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_IN_USE") || a.Header.Get("Retry-After") != "1" {
				t.Errorf("%+v", a)
			}
			s.leave <- struct{}{}
			one := <-first
			if a := post("/hang-1", "slow", "x"); a.Status != 200 || a.Body != one.Body || s.times("/hang-1") != 1 {
				t.Errorf("%+v, first %+v", a, one)
			}
		})
		t.Run("a client that goes", func(t *testing.T) {
			leaveBeforeAnswer(t, s, g, "/hang-2", "gone")
			s.leave <- struct{}{}
			poll.Until(t, "the answer", func() bool { return post("/hang-2", "gone", "x").Status == 200 })
			if n := s.times("/hang-2"); n != 1 {
				t.Errorf("%d times", n)
			}
		})
		if got := metricsOf(g); !strings.Contains(got, `transom_policy_decisions_total{policy="idempotency_key",result="replayed",rpc="/**"}`) {
			t.Error("no metric of replays")
		}
	})
}

// leaveBeforeAnswer makes a request and goes once the server has it.
func leaveBeforeAnswer(t *testing.T, s *till, g *gatewaytest.Gateway, path, key string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", g.URL+path, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Idempotency-Key": {key}, "Content-Type": {"application/json"}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if answer, err := g.Client.Do(request); err == nil {
			_ = answer.Body.Close() // nobody reads it
		}
	}()
	<-s.entered
	cancel()
	<-ended
}

// TestRouteKeyStreams: Traffic 87, 94: a stream of events passes as it comes, and is not kept; it
// ends with its client.
func TestRouteKeyStreams(t *testing.T) {
	s, g := startTill(t, "", "")
	request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/events-1", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Idempotency-Key": {"k"}, "Content-Type": {"application/json"}}
	answer, err := g.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	piece := make([]byte, 9)
	if _, err := io.ReadFull(answer.Body, piece); err != nil || string(piece) != "data: 1\n\n" {
		t.Fatalf("%q, %v", piece, err)
	}
	s.leave <- struct{}{}
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "data: 2\n\n" {
		t.Errorf("%q, %v", rest, err)
	}
	poll.Until(t, "the end", func() bool {
		a := g.Do(t, "POST", "/events-1", "x", "Idempotency-Key", "k")
		return a.Status == 409 && strings.Contains(a.Body, "ANSWER_NOT_KEPT")
	})
	if n := s.times("/events-1"); n != 1 {
		t.Errorf("%d times", n)
	}
}

// TestRouteKeyTime: Traffic 87, 90: the time of a request under a key is the route's, and what was
// not answered within it has an outcome that nobody knows.
func TestRouteKeyTime(t *testing.T) {
	for name, test := range map[string]struct {
		more  string
		again int
	}{
		"at most once":    {"", 504},
		"backend_honours": {", backend_honours: true", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := &till{made: map[string]int{}, entered: make(chan string, 100), leave: make(chan struct{})}
			site := httptest.NewServer(s)
			t.Cleanup(site.Close)
			g := gatewaytest.Start(t, gatewaytest.Options{
				Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
				Config:    "routes: [{ match: { path_prefix: / }, upstream: till, policy: { timeout: 0.2s, idempotency_key: { scope: METHOD" + test.more + " } } }]\n",
			})
			a := g.Do(t, "POST", "/hang-1", "x", "Idempotency-Key", "k")
			close(s.leave)
			if a.Status != 504 || !strings.Contains(a.Body, "within 200ms") {
				t.Errorf("%+v", a)
			}
			poll.Until(t, "the second answer", func() bool {
				a = g.Do(t, "POST", "/hang-1", "x", "Idempotency-Key", "k")
				return a.Status == test.again
			})
			if test.again == 504 && (!strings.Contains(a.Body, "OUTCOME_UNKNOWN") || s.times("/hang-1") != 1) {
				t.Errorf("%+v; %d times", a, s.times("/hang-1"))
			}
		})
	}
}

// TestRouteKeyUnsent: Traffic 89: a request that no server has seen leaves its key free.
func TestRouteKeyUnsent(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", loopback.Address(t)),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: till, policy: { idempotency_key: { scope: METHOD, required: true } } }]\n",
	})
	for range 2 {
		if a := g.Do(t, "POST", "/x", "x", "Idempotency-Key", "k"); a.Status != 502 && a.Status != 503 || strings.Contains(a.Body, "OUTCOME_UNKNOWN") {
			t.Errorf("%+v", a)
		}
	}
	if a := g.Do(t, "POST", "/x", "x"); a.Status != 400 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_MISSING") {
		t.Errorf("%+v", a)
	}
	if a := g.Do(t, "GET", "/x", ""); a.Status == 400 {
		t.Errorf("GET: %+v", a)
	}
}

// TestRouteKeyWaits: Traffic 86: with WAIT the duplicates get the answer of the first request.
func TestRouteKeyWaits(t *testing.T) {
	s, g := startTill(t, ", in_flight: WAIT", "")
	const clients = 20
	answers := make(chan gatewaytest.Answer, clients)
	for range clients {
		go func() { answers <- g.Do(t, "POST", "/hang-1", "x", "Idempotency-Key", "k") }()
	}
	<-s.entered
	close(s.leave)
	for range clients {
		if a := <-answers; a.Status != 200 || a.Body != "receipt 1 for x" {
			t.Errorf("%+v", a)
		}
	}
	if n := s.times("/hang-1"); n != 1 {
		t.Errorf("%d times", n)
	}
}

// TestRouteKeyRetries: Traffic 66, 88: retries stand behind the key; all attempts have the whole
// body.
func TestRouteKeyRetries(t *testing.T) {
	s := &till{made: map[string]int{}}
	site := httptest.NewServer(s)
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: till, policy: { retry: { idempotency_level: IDEMPOTENT, initial_backoff: 0.001s }, idempotency_key: { scope: METHOD } } }]\n",
	})
	body := strings.Repeat("0123456789", 5000)
	a := g.Do(t, "POST", "/once-503", body, "Idempotency-Key", "k")
	again := g.Do(t, "POST", "/once-503", body, "Idempotency-Key", "k")
	if a.Status != 200 || a.Body != "receipt 2 for "+body || again.Body != a.Body || s.times("/once-503") != 2 {
		t.Errorf("%d %.100s, %d %.100s; %d times", a.Status, a.Body, again.Status, again.Body, s.times("/once-503"))
	}
}

// TestRouteKeyCompressed: Traffic 91: the answer is kept as the server gave it, and each client gets
// it in a form that it takes.
func TestRouteKeyCompressed(t *testing.T) {
	s := &till{made: map[string]int{}}
	site := httptest.NewServer(s)
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: till, compression: { min_bytes: 10, types: [text/plain] }, policy: { idempotency_key: { scope: METHOD } } }]\n",
	})
	body := strings.Repeat("0123456789", 500)
	zipped := g.Do(t, "POST", "/pay", body, "Idempotency-Key", "k", "Accept-Encoding", "gzip")
	plain := g.Do(t, "POST", "/pay", body, "Idempotency-Key", "k", "Accept-Encoding", "identity")
	again := g.Do(t, "POST", "/pay", body, "Idempotency-Key", "k", "Accept-Encoding", "gzip")
	if zipped.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" || plain.Body != "receipt 1 for "+body {
		t.Errorf("%v, then %v %.100s", zipped.Header, plain.Header, plain.Body)
	}
	if again.Body != zipped.Body || again.Header.Get("Content-Encoding") != "gzip" || s.times("/pay") != 1 {
		t.Errorf("%v; %d times", again.Header, s.times("/pay"))
	}
}

// TestRouteKeyLoads: Traffic 82, 85: what a route cannot have is refused with its reason, and left
// out where it is inherited.
func TestRouteKeyLoads(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Upstreams: `till: { http: { servers: ["127.0.0.1:1"] } }`})
	for name, test := range map[string]struct{ route, policy, want string }{
		"respond":   {`match: { path: /x }, respond: { status: 200 }`, "scope: METHOD", "the gateway answers the requests of this route itself"},
		"redirect":  {`match: { path: /x }, redirect: { path: /y }`, "scope: METHOD", "the gateway answers the requests of this route itself"},
		"GET":       {`match: { path: /x, methods: [GET] }, upstream: till`, "scope: METHOD", "keys are for POST and PATCH, and this route takes GET"},
		"a field":   {`match: { path: /x }, upstream: till`, "scope: METHOD, field: request_id", "knows no fields of its requests"},
		"anonymous": {`match: { path: /x }, upstream: till`, "", "open to callers who prove nothing"},
		"right":     {`match: { path: /x, methods: [GET, PATCH] }, upstream: till`, "scope: METHOD", ""},
	} {
		t.Run(name, func(t *testing.T) {
			load := func(config string) error {
				text := "upstreams: { till: { http: { servers: [\"127.0.0.1:1\"] } } }\n" + config
				if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := g.Reload(t.Context())
				return err
			}
			err := load("routes: [{ " + test.route + ", policy: { idempotency_key: { " + test.policy + " } } }]\n")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if name == "a field" {
				return // methods are refused that have no such field
			}
			if err := load("routes: [{ " + test.route + " }]\ndefaults: { idempotency_key: { " + test.policy + " } }\n"); err != nil {
				t.Errorf("inherited: %v", err)
			}
		})
	}
}
