package httpbackend_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// newAttemptsRig forwards to servers by a real choice among them: the first of the list
// first, as long as it can be.
func newAttemptsRig(t testing.TB, plain *attempt.Plain, addresses ...string) *rig {
	t.Helper()
	weights := make([]uint32, len(addresses))
	for i := range weights {
		weights[i] = 1
	}
	target := upstream.Target{Plain: true, Servers: upstream.Servers(addresses, weights), LoadBalancing: "round_robin"}
	g := &rig{change: func(x *httpbackend.Exchange) { x.Attempts = plain }}
	var err error
	g.upstream, err = httpbackend.NewPool(httpbackend.Pseudonym).Get(httpbackend.Options{Target: target}, func(t upstream.Target) (httpbackend.Servers, error) {
		return upstream.NewPool(slog.New(slog.DiscardHandler)).Get(t)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.upstream.Release)
	g.Front = front.Start(t, http.HandlerFunc(g.serve))
	return g
}

// again is a policy of three attempts.
func again() *attempt.Plain {
	return &attempt.Plain{Retry: &attempt.Retry{Attempts: 3, InitialBackoff: time.Millisecond, MaxBackoff: time.Millisecond, BudgetPercent: 100, Buffer: 256 << 10}}
}

// echoes starts a server that answers with what it got, and counts.
func echoes(t testing.TB) (string, *atomic.Int64) {
	arrived := new(atomic.Int64)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		w.Header().Set("X-Attempt", r.Header.Get("X-Transom-Attempt"))
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(body)
	}), arrived
}

// breaking starts a server that ends connections after it has read a head, and as much
// of the body as is asked for. It counts the requests.
func breaking(t testing.TB, read int64) (string, *atomic.Int64) {
	arrived := new(atomic.Int64)
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		arrived.Add(1)
		if strings.Contains(head, "Content-Length: ") && !strings.Contains(head, "Content-Length: 0") || strings.Contains(head, "chunked") {
			_, _ = io.CopyN(io.Discard, r, read)
		}
		_ = c.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // it is one
	}), arrived
}

// TestRefusedElsewhere: Traffic 58: without a policy, a request of any method goes to another
// server where there is no connection to the first, its body with it, and arrives once.
func TestRefusedElsewhere(t *testing.T) {
	well, arrived := echoes(t)
	g := newAttemptsRig(t, nil, loopback.Address(t), loopback.Address(t), well)
	forAll(t, g, func(t *testing.T, c *front.Client) {
		before := arrived.Load()
		for n := range 12 {
			body := strings.Repeat("x", n*9_000)
			if got := do(t, c, "POST", "/", strings.NewReader(body)); got.StatusCode != 200 || got.body != body || got.Header.Get("X-Attempt") != "" {
				t.Errorf("%d, %d bytes of %d", got.StatusCode, len(got.body), len(body))
			}
		}
		if n := arrived.Load() - before; n != 12 {
			t.Errorf("%d requests arrived, want 12", n)
		}
	})
	if tries := g.last().Tries; tries.Attempts != 1 {
		t.Errorf("%+v", tries)
	}
	all := newAttemptsRig(t, nil, loopback.Address(t), loopback.Address(t))
	if got := do(t, all.Clients["HTTP/1.1"], "POST", "/", strings.NewReader("x")); got.StatusCode != 502 {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
}

// TestBrokenElsewhere: Traffic 66, 74, 79: a request that may be made twice is made at another
// server where the first broke the connection before its answer, with the same body, as far
// as it was kept. Another request is not.
func TestBrokenElsewhere(t *testing.T) {
	for _, read := range []int64{0, 10, 100_000} {
		broken, seen := breaking(t, read)
		well, arrived := echoes(t)
		g := newAttemptsRig(t, again(), broken, well)
		forAll(t, g, func(t *testing.T, c *front.Client) {
			for _, test := range []struct {
				method string
				size   int
				chunks bool
				fails  string // what ends the attempts; "" where none has to
			}{
				{"GET", 0, false, ""}, {"PUT", 200_000, false, ""}, {"PUT", 200_000, true, ""}, {"DELETE", 0, false, ""},
				{"POST", 200_000, false, "none"}, {"PATCH", 0, false, "none"},
			} {
				body := strings.Repeat("0123456789", test.size/10)
				failed := 0
				for range 4 { // each server has its turn, whatever there was before
					var reader io.Reader = strings.NewReader(body)
					if test.chunks {
						reader = io.MultiReader(reader)
					}
					got := do(t, c, test.method, "/", reader)
					switch {
					case got.StatusCode == 502 && test.fails != "":
						failed++
					case got.StatusCode != 200 || got.body != body:
						t.Errorf("%s of %d bytes, %d read: %d, %d bytes back: %.80q", test.method, test.size, read, got.StatusCode, len(got.body), got.body)
					}
				}
				if (test.fails != "") != (failed > 0) {
					t.Errorf("%s: %d of 4 fail", test.method, failed)
				}
			}
		})
		if seen.Load() == 0 || arrived.Load() == 0 {
			t.Errorf("%d arrived at the broken one, %d at the other", seen.Load(), arrived.Load())
		}
	}
}

// TestKeptWhileItStreams: Traffic 66: a body of which a part was sent when the first server
// broke the connection goes to the next one whole, though the client sends the rest only
// then; what is not read by an attempt is not read from the client.
func TestKeptWhileItStreams(t *testing.T) {
	broken, seen := breaking(t, 5)
	well, arrived := echoes(t)
	g := newAttemptsRig(t, again(), broken, well)
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for range 2 { // one of them is at the broken one first
			body, out := io.Pipe()
			before := seen.Load() + arrived.Load()
			go func() {
				_, _ = io.WriteString(out, "first,")
				if poll.Within(time.Minute, func() bool { return arrived.Load() > 0 && seen.Load()+arrived.Load() > before }) {
					_, _ = io.WriteString(out, "second")
				}
				_ = out.Close()
			}()
			if got := do(t, c, "PUT", "/", body); got.StatusCode != 200 || got.body != "first,second" {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		}
	})
}

// TestTooLargeToKeep: Traffic 66: beyond buffer_bytes the request goes on, whole, and is not
// made again.
func TestTooLargeToKeep(t *testing.T) {
	const size = 1 << 20
	broken, _ := breaking(t, size)
	well, _ := echoes(t)
	g := newAttemptsRig(t, again(), broken, well)
	forAll(t, g, func(t *testing.T, c *front.Client) {
		statuses := map[int]int{}
		for range 2 {
			got := do(t, c, "PUT", "/", strings.NewReader(strings.Repeat("x", size)))
			statuses[got.StatusCode]++
			if got.StatusCode == 200 && len(got.body) != size {
				t.Errorf("%d bytes", len(got.body))
			}
			if denied := g.last().Tries.Denied; got.StatusCode == 502 && denied != "buffer" {
				t.Errorf("it ends by %q", denied)
			}
		}
		if statuses[200] != 1 || statuses[502] != 1 {
			t.Errorf("%v", statuses)
		}
	})
}

// TestAnswersElsewhere: Traffic 71, 74, 79: an answer of 503 is followed by another attempt,
// which the server is told of, also where an informational one came before; the last one
// passes as it is. A pause that is too long ends the attempts.
func TestAnswersElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		status int
	}{
		"503":                    {"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 200},
		"103, 503":               {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 200},
		"503 without an end":     {"HTTP/1.1 503 Busy\r\nContent-Length: 400\r\n\r\nbusy", 200},
		"500":                    {"HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\nbusy", 500},
		"503, come in an hour":   {"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 4\r\n\r\nbusy", 503},
		"no HTTP":                {"SMTP ready\r\n", 200},
		"half a header":          {"HTTP/1.1 200 OK\r\nContent-", 200},
		"reset in the body: 502": {"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf", 0},
	} {
		t.Run(name, func(t *testing.T) {
			busy := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err == nil {
					_, _ = io.WriteString(c, test.answer)
				}
			})
			well, _ := echoes(t)
			g := newAttemptsRig(t, again(), busy, well)
			seen := map[string]bool{}
			for range 4 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", g.Clients["HTTP/1.1"].URL, nil)
				got, err := g.Clients["HTTP/1.1"].Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got.Body)
				_ = got.Body.Close() // it was read
				key := fmt.Sprint(got.StatusCode, " ", got.Header.Get("X-Attempt"))
				if err != nil {
					key = "broken"
				}
				seen[key] = true
				if got.StatusCode == 503 && (string(body) != "busy" || got.Header.Get("Retry-After") == "" || g.last().Tries.Denied != "pushback") {
					t.Errorf("%q, %v, %+v", body, got.Header, g.last().Tries)
				}
			}
			want := map[int]string{200: "200 2", 500: "500 ", 503: "503 ", 0: "broken"}[test.status]
			if !seen[want] || !seen["200 "] || len(seen) != 2 {
				t.Errorf("%v, want %q beside 200 at once", seen, want)
			}
		})
	}
}

// TestResent: Traffic 80: on an old connection that breaks, net/http sends GET, HEAD, OPTIONS
// and TRACE a second time, which is counted; a POST arrives once, whatever key it bears.
func TestResent(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"} {
		for _, key := range []string{"Idempotency-Key", "X-Idempotency-Key", ""} {
			t.Run(method+" "+key, func(t *testing.T) {
				var arrived atomic.Int64
				var keys sync.Map
				address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
					for n := 0; ; n++ {
						head, err := readHead(r)
						if err != nil {
							return
						}
						if strings.HasPrefix(head, "GET /warm") {
							_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
							continue
						}
						arrived.Add(1)
						keys.Store(strings.Contains(strings.ToLower(head), "\r\n"+strings.ToLower(key)+": k1\r\n"), true)
						if n > 0 {
							return // the connection is an old one
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				})
				g := newAttemptsRig(t, nil, address)
				c := g.Clients["HTTP/2"]
				if got := do(t, c, "GET", "/warm", nil); got.StatusCode != 200 {
					t.Fatal(got.StatusCode)
				}
				var headers []string
				if key != "" {
					headers = []string{key, "k1"}
				}
				got := do(t, c, method, "/", nil, headers...)
				wantStatus, want := 502, int64(1)
				if method == "GET" || method == "HEAD" || method == "OPTIONS" {
					wantStatus, want = 200, 2
				}
				if got.StatusCode != wantStatus || arrived.Load() != want {
					t.Errorf("%d, %d arrived; want %d, %d", got.StatusCode, arrived.Load(), wantStatus, want)
				}
				if r := g.last(); r.Tries.Attempts != 1 || int64(r.Resent) != want-1 {
					t.Errorf("%+v, resent %d times", r.Tries, r.Resent)
				}
				if _, without := keys.Load(false); key != "" && without {
					t.Error("the key does not reach the server")
				}
			})
		}
	}
}

// TestGoneConnection: Traffic 58, 80: a request with a body, for which an old connection was
// taken that the server has ended, goes by another one and arrives once.
func TestGoneConnection(t *testing.T) {
	var arrived atomic.Int64
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if strings.HasPrefix(head, "POST") {
			arrived.Add(1)
			_, _ = io.CopyN(io.Discard, r, 5)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	g := newAttemptsRig(t, nil, address)
	c := g.Clients["HTTP/2"]
	failed := 0
	for range 30 {
		_ = do(t, c, "GET", "/warm", nil)
		if got := do(t, c, "POST", "/", strings.NewReader("hello")); got.StatusCode != 200 {
			failed++
		}
	}
	// Between the end of a connection and the news of it a request may have been written.
	if n := arrived.Load(); n > 30 || int(n) < 30-failed {
		t.Errorf("%d of 30 arrived, %d failed", n, failed)
	}
}
