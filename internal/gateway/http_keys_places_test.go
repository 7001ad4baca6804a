package gateway_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestRouteKeyPlaces: Traffic 88: a request under a key takes its place among those that run when it
// is made, so that neither a replay nor one that waits for an answer has one.
func TestRouteKeyPlaces(t *testing.T) {
	for _, waits := range []string{"", ", in_flight: WAIT"} {
		t.Run("in_flight"+waits, func(t *testing.T) {
			s, g := startTill(t, waits+" }, concurrency: { max: 1", "")
			post := func(path, key string) gatewaytest.Answer {
				return g.Do(t, "POST", path, "x", "Idempotency-Key", key)
			}
			if a := post("/pay", "before"); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			answers := make(chan gatewaytest.Answer, 10)
			go func() { answers <- post("/hang-1", "first") }()
			<-s.entered
			if a := post("/pay", "before"); a.Status != 200 || a.Header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("a replay while the place is taken: %+v", a)
			}
			for name, a := range map[string]gatewaytest.Answer{
				"a new key": post("/pay", "new"), "no key": g.Do(t, "POST", "/pay", "x"), "another method": g.Do(t, "GET", "/pay", "", "Idempotency-Key", "k"),
			} {
				if a.Status != 503 || a.Header.Get("Retry-After") != "1" || !strings.Contains(a.Body, "too many calls") {
					t.Errorf("%s: %+v", name, a)
				}
			}
			others := 0
			if waits != "" {
				for others < 5 {
					others++
					go func() { answers <- post("/hang-1", "first") }()
				}
			}
			s.leave <- struct{}{}
			for range 1 + others {
				if a := <-answers; a.Status != 200 || !strings.HasPrefix(a.Body, "receipt 2 ") {
					t.Errorf("%+v", a)
				}
			}
			if a := post("/pay", "new"); a.Status != 200 || a.Header.Get("Idempotent-Replayed") != "" {
				t.Errorf("the key that was refused a place: %+v", a)
			}
			for range 3 { // each place is given back
				if a := g.Do(t, "POST", "/pay", "x"); a.Status != 200 {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// readAll makes a request whose trailers are read, too.
func readAll(ctx context.Context, client *http.Client, url string, header http.Header) (status int, body string, h, trailer http.Header, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))
	if err != nil {
		return 0, "", nil, nil, err
	}
	request.Header = header
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), answer.Header, answer.Trailer, err
}

// TestRouteKeyProtocols: Traffic 87, 91: HTTP/1.1 and HTTP/2 share a key, trailers are kept for those who
// take them, and a stream that is cancelled does not end its request.
func TestRouteKeyProtocols(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		s, g := startTill(t, "", config)
		for i, first := range []*http.Client{g.Client, g.HTTP2} {
			key := []string{"k1", "k2"}[i]
			path := "/chunks-" + key
			for j, client := range []*http.Client{first, g.Client, g.HTTP2} {
				status, body, h, trailer, err := readAll(t.Context(), client, g.URL+path, http.Header{"Idempotency-Key": {key}, "Te": {"trailers"}})
				if err != nil || status != 200 || body != "piecepiecepiece" || trailer.Get("Sum") != "15" || (h.Get("Idempotent-Replayed") == "true") != (j > 0) {
					t.Errorf("%d %d: %d %q %v %v %v", i, j, status, body, h, trailer, err)
				}
				if status, body, _, trailer, err := readAll(t.Context(), client, g.URL+path, http.Header{"Idempotency-Key": {key}}); err != nil || status != 200 || body != "piecepiecepiece" || len(trailer) > 0 {
					t.Errorf("without TE: %d %q %v %v", status, body, trailer, err)
				}
			}
			if n := s.times(path); n != 1 {
				t.Errorf("%d times", n)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, _, _, _, err := readAll(ctx, g.HTTP2, g.URL+"/hang-h2", http.Header{"Idempotency-Key": {"gone"}})
			ended <- err
		}()
		<-s.entered
		cancel()
		if err := <-ended; err == nil {
			t.Error("the cancelled stream was answered")
		}
		s.leave <- struct{}{}
		poll.Until(t, "the answer", func() bool {
			status, _, h, _, err := readAll(t.Context(), g.HTTP2, g.URL+"/hang-h2", http.Header{"Idempotency-Key": {"gone"}})
			return err == nil && status == 200 && h.Get("Idempotent-Replayed") == "true"
		})
		if n := s.times("/hang-h2"); n != 1 {
			t.Errorf("%d times", n)
		}
	})
}

// TestRouteKeyReload: Traffic 87, 93: a reload in mid-call, with the policy changed, leaves the call and
// what is known of its key.
func TestRouteKeyReload(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		s, g := startTill(t, "", config)
		post := func(path, key string) gatewaytest.Answer {
			return g.Do(t, "POST", path, "x", "Idempotency-Key", key)
		}
		first := make(chan gatewaytest.Answer, 1)
		go func() { first <- post("/hang-1", "k") }()
		<-s.entered
		text, err := os.ReadFile(g.Config)
		if err != nil {
			t.Fatal(err)
		}
		for _, changed := range []string{", ttl: 60s", ", ttl: 60s, in_flight: WAIT, max_answer_bytes: 1", ", required: true, backend_honours: true"} {
			if err := os.WriteFile(g.Config, []byte(strings.Replace(string(text), "scope: METHOD", "scope: METHOD"+changed, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(changed, "WAIT") {
				continue // it would wait
			}
			if a := post("/hang-1", "k"); a.Status != 409 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_IN_USE") {
				t.Errorf("%s: %+v", changed, a)
			}
		}
		s.leave <- struct{}{}
		want := <-first
		if a := post("/hang-1", "k"); want.Status != 200 || a.Body != want.Body || s.times("/hang-1") != 1 {
			t.Errorf("%+v, first %+v", a, want)
		}
	})
}
