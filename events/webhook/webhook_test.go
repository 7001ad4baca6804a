package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	oneSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func open(t testing.TB, settings *transomv1.WebhookSink, url string) (*Sink, *strings.Builder) {
	t.Helper()
	settings = proto.CloneOf(settings)
	settings.Url = url
	if settings.Secrets == nil {
		settings.Secrets = []string{oneSecret}
	}
	if settings.Allow == nil {
		settings.Allow = []string{"127.0.0.0/8"}
	}
	text := &strings.Builder{}
	s, err := Open("hook", settings, events.Env{
		Resolve: func(name string) string { return name },
		Secret: func(value string) (string, error) {
			if name, ok := strings.CutPrefix(value, "file:"); ok {
				content, err := os.ReadFile(name)
				return string(content), err
			}
			return value, nil
		},
		Log: slog.New(slog.NewTextHandler(text, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, text
}

// received is a request as a server got it.
type received struct {
	header http.Header
	body   string
}

// server answers with what answer says, and keeps what it got.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(r received) (status int)
	head   http.Header // of answers
}

func serve(t testing.TB, answer func(r received) int) *server {
	t.Helper()
	s := &server{answer: answer, head: http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := received{r.Header, string(body)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, got)
	for name, values := range s.head {
		w.Header()[name] = values
	}
	w.WriteHeader(s.answer(got))
}

func (s *server) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

func ok(received) int { return http.StatusNoContent }

func event(key string, n int) *events.Event {
	at := time.Now()
	return &events.Event{ID: events.NewID(at), Source: "/transom/test.Service/Method", Type: "user.test", Time: at,
		DataContentType: events.JSON, Data: fmt.Appendf(nil, `{"n":%d}`, n), Key: key}
}

func sendAll(t testing.TB, s *Sink, batch ...*events.Event) []error {
	t.Helper()
	errs := make([]error, len(batch))
	s.Send(t.Context(), batch, errs)
	return errs
}

// TestSignature compares with the example of Standard Webhooks' own libraries.
func TestSignature(t *testing.T) {
	key, err := Key(oneSecret)
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	at := time.Unix(1614265330, 0)
	if got := sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte(`{"test": 2432232314}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	other, err := Key(otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(sign([][]byte{other, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte(`{"test": 2432232314}`)))
	if len(got) != 2 || got[1] != want || got[0] == want {
		t.Errorf("got %q", got)
	}
}

func TestSecrets(t *testing.T) {
	for _, n := range []int{0, 23, 24, 64, 65} {
		secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n))
		if key, err := Key(secret); (err == nil) != (n == 24 || n == 64) || err == nil && len(key) != n {
			t.Errorf("%d bytes: got %v, %v", n, key, err)
		}
	}
	for _, secret := range []string{"", "hunter2", "whsec_hunter2", "whsec_!"} {
		if _, err := Key(secret); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", secret, err)
		}
	}
}

// TestRequests holds Events 126: what stands in a request of each mode.
func TestRequests(t *testing.T) {
	one, two := event("ann", 1), event("", 2)
	one.Subject = "é"
	for mode, want := range map[transomv1.EventMode]struct{ contentType, body string }{
		transomv1.EventMode_BINARY:     {"application/json", `{"n":1}`},
		transomv1.EventMode_STRUCTURED: {"application/cloudevents+json; charset=utf-8", `{"specversion":"1.0","id":"` + one.ID},
		transomv1.EventMode_BATCH:      {"application/cloudevents-batch+json; charset=utf-8", `[{"specversion":"1.0","id":"` + one.ID},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			receiver := serve(t, ok)
			s, _ := open(t, &transomv1.WebhookSink{Mode: mode, Concurrency: 1, Secrets: []string{oneSecret, otherSecret}, Headers: map[string]string{"X-Tenant": "a"}}, receiver.URL+"/hook?a=b")
			if err := errors.Join(sendAll(t, s, one, two)...); err != nil {
				t.Fatal(err)
			}
			got := receiver.all()
			if n := 2; mode == transomv1.EventMode_BATCH && len(got) != 1 || mode != transomv1.EventMode_BATCH && len(got) != n {
				t.Fatalf("got %d requests", len(got))
			}
			h := got[0].header
			if h.Get("Content-Type") != want.contentType || !strings.HasPrefix(got[0].body, want.body) || h.Get("X-Tenant") != "a" || h.Get("User-Agent") != "Transom" {
				t.Errorf("got %v, %s", h, got[0].body)
			}
			if mode == transomv1.EventMode_BINARY && (h.Get("Ce-Id") != one.ID || h.Get("Ce-Subject") != "%C3%A9" || h.Get("Ce-Partitionkey") != "ann") {
				t.Errorf("got %v", h)
			}
			if mode != transomv1.EventMode_BATCH && h.Get("Webhook-Id") != one.ID {
				t.Errorf("got the id %q", h.Get("Webhook-Id"))
			}
			if n := len(strings.Fields(h.Get("Webhook-Signature"))); n != 2 || h.Get("Webhook-Timestamp") == "" {
				t.Errorf("got %d signatures of %q", n, h.Get("Webhook-Timestamp"))
			}
		})
	}
}

// TestSecretFile holds that a secret which is replaced signs the next events.
func TestSecretFile(t *testing.T) {
	receiver := serve(t, ok)
	file := filepath.Join(t.TempDir(), "secret")
	s, _ := open(t, &transomv1.WebhookSink{Secrets: []string{"file:" + file}}, receiver.URL)
	e := event("ann", 1)
	for _, secret := range []string{oneSecret, otherSecret} {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sendAll(t, s, e)...); err != nil {
			t.Fatal(err)
		}
	}
	if got := receiver.all(); got[0].header.Get("Webhook-Signature") == got[1].header.Get("Webhook-Signature") {
		t.Error("both secrets sign alike")
	}
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sendAll(t, s, e)[0]; err == nil || errors.Is(err, events.ErrRejected) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// TestAnswers holds what becomes of an event by the status of the answer.
func TestAnswers(t *testing.T) {
	for status := 200; status < 600; status++ {
		if status == http.StatusGone {
			continue
		}
		receiver := serve(t, func(received) int { return status })
		receiver.head.Set("Location", "/elsewhere")
		s, _ := open(t, &transomv1.WebhookSink{}, receiver.URL)
		now := time.Now()
		s.now = func() time.Time { return now }
		e := event("ann", 1)
		err := sendAll(t, s, e)[0]
		if taken := status < 300; taken != (err == nil) || errors.Is(err, events.ErrRejected) {
			t.Errorf("%d: got %v", status, err)
		}
		now = now.Add(patience)
		if err := sendAll(t, s, e)[0]; (err == nil) != (status < 300) || err != nil && !errors.Is(err, events.ErrRejected) {
			t.Errorf("%d, a day later: got %v", status, err)
		}
		if n := len(receiver.all()); n != 2 {
			t.Errorf("%d: got %d requests, want 2", status, n)
		}
		receiver.Close()
	}
}

func TestGone(t *testing.T) {
	receiver := serve(t, func(received) int { return http.StatusGone })
	s, log := open(t, &transomv1.WebhookSink{Concurrency: 1}, receiver.URL)
	for range 2 {
		for _, err := range sendAll(t, s, event("ann", 1), event("bob", 2)) {
			if !errors.Is(err, events.ErrRejected) || !strings.Contains(err.Error(), "410 Gone") {
				t.Errorf("got %v", err)
			}
		}
	}
	if n := len(receiver.all()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
	if n := strings.Count(log.String(), "a webhook is gone"); n != 1 {
		t.Errorf("the log says so %d times: %s", n, log)
	}
}

func TestRetryAfter(t *testing.T) {
	receiver := serve(t, func(received) int { return http.StatusTooManyRequests })
	receiver.head.Set("Retry-After", "3600")
	s, _ := open(t, &transomv1.WebhookSink{Concurrency: 1}, receiver.URL)
	now := time.Now()
	s.now = func() time.Time { return now }
	for _, err := range sendAll(t, s, event("ann", 1), event("bob", 2)) {
		if err == nil || !strings.Contains(err.Error(), "found status 429") {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the gateway stops")
	cancel(reason)
	errs := make([]error, 1)
	s.Send(ctx, []*events.Event{event("ann", 1)}, errs)
	if !errors.Is(errs[0], reason) {
		t.Errorf("got %v", errs[0])
	}
	if n := len(receiver.all()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
	now = now.Add(time.Hour)
	receiver.answer = ok
	if err := errors.Join(sendAll(t, s, event("ann", 1))...); err != nil {
		t.Error(err)
	}
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"": -1, "0": 0, "7": 7 * time.Second, "-1": -1, "x": -1, "99999999999": -1,
		"Sun, 29 Nov 2026 12:00:05 GMT": 5 * time.Second, "Sun, 29 Nov 2026 11:00:05 GMT": 0} {
		if pause, said := retryAfter(value, at); said != (want >= 0) || said && pause != want {
			t.Errorf("%q: got %v, %t", value, pause, said)
		}
	}
}

// TestOneBadEvent holds that it is in the way of its key alone, and of no other in a batch.
func TestOneBadEvent(t *testing.T) {
	for _, mode := range []transomv1.EventMode{transomv1.EventMode_BINARY, transomv1.EventMode_BATCH} {
		receiver := serve(t, func(r received) int {
			if strings.Contains(r.body, `"n":3}`) {
				return http.StatusUnprocessableEntity
			}
			return http.StatusOK
		})
		s, _ := open(t, &transomv1.WebhookSink{Concurrency: 1, Mode: mode}, receiver.URL)
		errs := sendAll(t, s, event("ann", 1), event("bob", 2), event("ann", 3), event("ann", 4), event("bob", 5), event("", 6))
		for i, err := range errs {
			if bad := i == 2 || i == 3; mode == transomv1.EventMode_BINARY && bad != (err != nil) || i < 2 && err != nil || i == 2 && err == nil || errors.Is(err, events.ErrRejected) {
				t.Errorf("%v, %d: got %v", mode, i, err)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	defer receiver.Close()
	defer close(release)
	s, _ := open(t, &transomv1.WebhookSink{Timeout: durationpb.New(100 * time.Millisecond)}, receiver.URL+"/?token=hunter2")
	if err := sendAll(t, s, event("ann", 1))[0]; !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	receiver := &server{answer: ok}
	receiver.Server = httptest.NewTLSServer(receiver)
	t.Cleanup(receiver.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting, _ := open(t, &transomv1.WebhookSink{Tls: &transomv1.SinkTls{Ca: ca}}, receiver.URL)
	if err := errors.Join(sendAll(t, trusting, event("ann", 1))...); err != nil {
		t.Error(err)
	}
	strict, _ := open(t, &transomv1.WebhookSink{}, receiver.URL)
	if err := sendAll(t, strict, event("ann", 1))[0]; err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// TestRestartedServer ends the server twice while events are sent: each arrives, those of a
// key in their order.
func TestRestartedServer(t *testing.T) {
	address := loopback.Address(t)
	next, doubles := map[string]int{}, 0
	handler := serve(t, func(r received) int {
		var data struct{ N int }
		_ = json.Unmarshal([]byte(r.body), &data)
		switch key := r.header.Get("Ce-Partitionkey"); {
		case data.N == next[key]:
			next[key]++
		case data.N < next[key]:
			doubles++
		default:
			t.Errorf("%s: got %d where %d should be", key, data.N, next[key])
		}
		return http.StatusOK
	})
	start := func() *http.Server {
		l := listen(t, address)
		running := &http.Server{Handler: handler}
		go func() { _ = running.Serve(l) }()
		return running
	}
	running := start()
	defer func() { _ = running.Close() }()
	s, _ := open(t, &transomv1.WebhookSink{}, "http://"+address)
	const keys, each = 20, 50
	all := make(chan *events.Event)
	var makers sync.WaitGroup
	for k := range keys {
		makers.Go(func() {
			for n := range each {
				all <- event(fmt.Sprint("key-", k), n)
			}
		})
	}
	go func() { makers.Wait(); close(all) }()
	var rest []*events.Event
	rounds, more := 0, true
	for more || len(rest) > 0 {
		for more && len(rest) < 50 {
			var e *events.Event
			if e, more = <-all; more {
				rest = append(rest, e)
			}
		}
		if rounds++; rounds == 5 || rounds == 10 {
			go func() { _ = running.Close() }() // while events are sent
		}
		var again []*events.Event
		for i, err := range sendAll(t, s, rest...) {
			if err != nil {
				again = append(again, rest[i])
			}
		}
		if rest = again; rounds == 6 || rounds == 11 {
			_ = running.Close()
			running = start()
		}
	}
	for k := range keys {
		if n := next[fmt.Sprint("key-", k)]; n != each {
			t.Errorf("key %d: got %d of %d events", k, n, each)
		}
	}
	t.Logf("sent %d, doubles %d", keys*each, doubles)
}
