package stream

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/answer"
	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// watching opens a WatchBooks stream on an answer.Writer and takes its request.
func watching(t *testing.T, accept string) (proxy.Downstream, *answer.Writer) {
	t.Helper()
	w := answer.NewWriter()
	r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/WatchBooks", strings.NewReader("{}"))
	r.Header.Set("Accept", accept)
	s := Open(edge.Bookstore(t, "WatchBooks", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(w), R: r})
	if _, err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	return s, w
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := watching(t, "text/event-stream")
		step := func(d time.Duration, status, pings int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if code, body := w.Visible(); code != status || strings.Count(body, ": ping\n\n") != pings {
				t.Errorf("after %s: status %d, %q", d, code, body)
			}
		}
		step(firstMessageWait-1, 0, 0)
		step(1, 200, 0) // Semantics 34: the headers wait a moment
		step(heartbeat-1, 200, 0)
		step(1, 200, 1) // Semantics 35: heartbeats
		step(heartbeat, 200, 2)
		if err := s.Send(edge.Watched(t, 1)); err != nil {
			t.Error(err)
		}
		s.Flush()
		step(heartbeat-1, 200, 2)
		step(1, 200, 3)
		step(10*heartbeat, 200, 13)
		if code := s.Finish(nil, nil); code != 200 || !strings.HasSuffix(w.Body.String(), "event: end\ndata: {}\n\n") {
			t.Errorf("%d %q", code, w.Body.String())
		}
		before := w.Body.Len()
		step(10*heartbeat, 200, 13)
		if w.Body.Len() != before {
			t.Error("the stream goes on after its end")
		}
	})
}

// TestExpectRuns holds Events 184: a body of messages that come in runs ends with the connection over HTTP/1.1, also
// where its header is sent before the first of them.
func TestExpectRuns(t *testing.T) {
	for accept, want := range map[string]string{"text/event-stream": "identity", "application/x-ndjson": ""} {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, accept)
			s.(interface{ ExpectRuns() }).ExpectRuns()
			time.Sleep(firstMessageWait)
			synctest.Wait()
			code, _ := w.Visible()
			if got := w.Header().Get("Transfer-Encoding"); code != 200 || got != want {
				t.Errorf("%s: status %d, Transfer-Encoding %q, want %q", accept, code, got, want)
			}
			s.Finish(nil, nil)
		})
	}
}

func TestFirstMessageWait(t *testing.T) {
	for name, test := range map[string]struct {
		wait   time.Duration
		header bool
		status int
	}{
		"an error while the headers wait":                 {firstMessageWait - 1, false, 404},
		"an error after that":                             {firstMessageWait, false, 200},
		"an error just after the backend's header":        {acceptedWait - 1, true, 404},
		"an error a moment after the backend's header":    {acceptedWait, true, 200},
		"an error long after, with a header in the midst": {5 * firstMessageWait, true, 200},
	} {
		t.Run("Semantics 34: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, w := watching(t, "application/x-ndjson")
				if test.header {
					s.Header(nil)
				}
				time.Sleep(test.wait)
				synctest.Wait()
				if code := s.Finish(status.Error(codes.NotFound, "no"), nil); code != test.status || w.Status != test.status {
					t.Errorf("%d %d %q", code, w.Status, w.Body.String())
				}
			})
		})
	}
}

// TestNextCheck: streams that began at once are looked at apart from one another, none too late.
func TestNextCheck(t *testing.T) {
	found := map[time.Duration]bool{}
	for range 100 {
		d := nextCheck()
		if found[d] = true; d <= stallCheck/2 || d > stallCheck {
			t.Errorf("%s", d)
		}
	}
	if len(found) < 50 {
		t.Errorf("%d of 100 times differ", len(found))
	}
}

// TestStalledClient has a client that does not read.
func TestStalledClient(t *testing.T) {
	send := func(s proxy.Downstream, f proxy.Frame) <-chan error {
		failed := make(chan error, 1)
		go func() { failed <- s.Send(f) }()
		synctest.Wait()
		return failed
	}
	t.Run("Semantics 39: the write deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			w.Held = true
			failed := send(s, edge.Watched(t, 1))
			time.Sleep(exchange.WriteTimeout - 1)
			select {
			case err := <-failed:
				t.Fatalf("too early: %v", err)
			default:
			}
			time.Sleep(stallCheck)
			if err := <-failed; status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			s.Finish(status.Error(codes.Canceled, ""), nil)
		})
	})
	t.Run("Semantics 32: the call's end does not wait for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			w.Held = true
			failed := send(s, edge.Watched(t, 1))
			start := time.Now()
			s.Unblock()
			if err := <-failed; status.Code(err) != codes.Canceled || time.Since(start) != exchange.LastWriteGrace {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			s.Finish(status.Error(codes.DeadlineExceeded, ""), nil)
		})
	})
	t.Run("Semantics 42: silence is no stall", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			for n := range uint64(3) {
				if err := s.Send(edge.Watched(t, n+1)); err != nil {
					t.Fatal(err)
				}
				s.Flush()
				time.Sleep(10 * exchange.WriteTimeout)
				synctest.Wait()
				if w.WriteDone {
					t.Fatal("a stream on which nothing waits got a write deadline: HTTP/2 resets it")
				}
			}
			s.Finish(nil, nil)
		})
	})
}
