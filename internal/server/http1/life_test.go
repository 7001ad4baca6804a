package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/http1"
	"github.com/transom-gateway/transom/internal/testing/pipes"
)

// refused is what answers bad heads.
var refused = http1head.Options{MaxHead: 256 << 10, Answer: func(_ net.Conn, r http1head.Refusal) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", r.Status, http.StatusText(r.Status))
}}

// front is a server in a bubble of synctest, whose rest says that it is the rest.
type front struct {
	*http1.Server
	l      *pipes.Listener
	log    bytes.Buffer
	served chan error
}

func serve(handler http.HandlerFunc, change func(*http1.Server)) *front {
	f := &front{l: pipes.Listen(), served: make(chan error, 1)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	f.Server = &http1.Server{
		Handler: handler, Header: 10 * time.Second, Idle: time.Minute, Base: context.Background(), Log: log.New(&f.log, "", 0),
		Rest: &http.Server{DisableGeneralOptionsHandler: true, Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "rest") })},
	}
	if change != nil {
		change(f.Server)
	}
	go func() { f.served <- f.Serve(http1head.Listener(f.l, refused)) }()
	return f
}

// end ends the server, and fails where something of it stays: the bubble waits for all goroutines.
func (f *front) end(t *testing.T) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-f.served; err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// ask says something on a connection and returns the answer's body.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, raw string) string {
	t.Helper()
	go func() { _, _ = io.WriteString(c, raw) }() // a pipe waits for its reader
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("to %q: %v", raw, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("to %q: %v", raw, err)
	}
	return string(body)
}

const sound = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// TestWhoServes: which requests are served here, and that another server has the connection from the first one on that is not.
func TestWhoServes(t *testing.T) {
	for _, test := range []struct {
		raw  string
		ours bool
	}{
		{sound, true},
		{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", true},
		{"DELETE /a?b HTTP/1.1\r\nHost: a:80\r\nconnection: keep-alive\r\nCookie: a=b\r\nAuthorization: Bearer x\r\n\r\n", true},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 20_000) + "\r\n\r\n", true},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 40_000) + "\r\n\r\n", false},
		{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", false},
		{"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", true},
		{"GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-a\r\n\r\n", false},
		{"GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false},
		{"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false},
		{"GET /a HTTP/1.0\r\nHost: a\r\n\r\n", false},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ended := 0
			f := serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ours") }, func(s *http1.Server) {
				s.Ended = func(net.Conn) { ended++ }
			})
			c := f.l.Dial()
			r := bufio.NewReader(c)
			if got := ask(t, c, r, sound); got != "ours" {
				t.Errorf("the first request is served by %s", got)
			}
			want := "ours"
			if !test.ours {
				want = "rest"
			}
			if got := ask(t, c, r, test.raw); got != want {
				t.Errorf("%.80q is served by %s", test.raw, got)
			}
			if !strings.Contains(test.raw, "Close") && !strings.Contains(test.raw, "/1.0") {
				if got := ask(t, c, r, sound); got != want {
					t.Errorf("what follows %.80q is served by %s", test.raw, got)
				}
			}
			_ = c.Close()
			synctest.Wait()
			if ended != 1 {
				t.Errorf("the connection has ended %d times", ended)
			}
			f.end(t)
		})
	}
}

// TestClientLeaves: a request's context ends when its client does, however the handler waits for that, and is watched for only then.
func TestClientLeaves(t *testing.T) {
	type key struct{}
	for name, wait := range map[string]func(context.Context){
		"itself":  func(ctx context.Context) { <-ctx.Done() },
		"a value": func(ctx context.Context) { <-context.WithValue(ctx, key{}, 1).Done() },
		"a time": func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-ctx.Done()
		},
		"a function": func(ctx context.Context) {
			done := make(chan struct{})
			context.AfterFunc(ctx, func() { close(done) })
			<-done
		},
		"a goroutine": func(ctx context.Context) {
			done := make(chan struct{})
			go func() { <-ctx.Done(); close(done) }()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended atomic.Pointer[time.Duration]
				start := time.Now()
				f := serve(func(_ http.ResponseWriter, r *http.Request) {
					if r.Context().Err() != nil || context.WithoutCancel(r.Context()).Done() != nil {
						t.Error("the context has ended before, or cannot be freed of that")
					}
					wait(r.Context())
					took := time.Since(start)
					ended.Store(&took)
					if !errors.Is(r.Context().Err(), context.Canceled) {
						t.Errorf("the error is %v", r.Context().Err())
					}
				}, nil)
				c := f.l.Dial()
				go func() { _, _ = io.WriteString(c, sound) }()
				time.Sleep(time.Second)
				if ended.Load() != nil {
					t.Error("the context has ended with its client there")
				}
				_ = c.Close()
				synctest.Wait()
				if took := ended.Load(); took == nil || *took != time.Second {
					t.Errorf("the client has left after a second, and the context ended after %v", took)
				}
				f.end(t)
			})
		})
	}
}

// TestContextsOfTheirOwn: each request of a connection has a context that ends with its answer, asked for or not, and a Done
// that comes too late watches nothing.
func TestContextsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var contexts []context.Context
		var asked bool
		f := serve(func(w http.ResponseWriter, r *http.Request) {
			if asked {
				_ = r.Context().Done()
			}
			contexts = append(contexts, r.Context())
			_, _ = io.WriteString(w, "ours")
		}, nil)
		c := f.l.Dial()
		r := bufio.NewReader(c)
		for i := range 20 {
			asked = i%3 == 1
			_ = ask(t, c, r, sound)
			for j, ctx := range contexts {
				if !errors.Is(ctx.Err(), context.Canceled) {
					t.Errorf("after request %d the context of request %d has not ended", i, j)
				}
				<-ctx.Done()
				if ctx.Value(http.LocalAddrContextKey) == nil || ctx.Value(http.ServerContextKey) == nil {
					t.Error("the context has no local address, or no server")
				}
			}
		}
		_ = c.Close()
		f.end(t)
	})
}

// TestPipelinedWhileWatched: the first byte of the next request is none of a client that leaves, and is not lost.
func TestPipelinedWhileWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone int
		f := serve(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				gone++
			case <-time.After(time.Second):
			}
			_, _ = io.WriteString(w, r.URL.Path)
		}, nil)
		c := f.l.Dial()
		r := bufio.NewReader(c)
		go func() {
			for _, path := range []string{"/1", "/2", "/3"} {
				_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			}
		}()
		for _, path := range []string{"/1", "/2", "/3"} {
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(answer.Body); err != nil || string(body) != path || gone > 0 {
				t.Errorf("%s: %s, %v; %d contexts have ended", path, body, err, gone)
			}
		}
		if got := ask(t, c, r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"); got != "rest" {
			t.Errorf("what another server serves is served by %q", got)
		}
		_ = c.Close()
		f.end(t)
	})
}

// TestTimes: how long a connection may take for its first head, for a request after another, and for the rest of that.
func TestTimes(t *testing.T) {
	for name, test := range map[string]struct {
		says []string // with a second between them
		ends time.Duration
	}{
		"nothing":                        {nil, 10 * time.Second},
		"the beginning of a head":        {[]string{"GET / HT"}, 10 * time.Second},
		"one request":                    {[]string{sound}, time.Minute},
		"two":                            {[]string{sound, sound}, time.Second + time.Minute},
		"the beginning of a second head": {[]string{sound, "G"}, 11 * time.Second},
		"a head by pieces":               {[]string{sound, "G", "E", "T", " "}, 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := serve(func(http.ResponseWriter, *http.Request) {}, nil)
				c := f.l.Dial()
				start := time.Now()
				go func() {
					for i, text := range test.says {
						if i > 0 {
							time.Sleep(time.Second)
						}
						_, _ = io.WriteString(c, text)
					}
				}()
				_, _ = io.Copy(io.Discard, c) // it ends with the connection
				if took := time.Since(start); took != test.ends {
					t.Errorf("the connection was closed after %v, expected %v", took, test.ends)
				}
				f.end(t)
			})
		})
	}
}

// TestShutdown: what is under way is answered, what waits is closed, and a new connection has five seconds for its first request.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			_, _ = io.WriteString(w, "ours")
		}, nil)
		busy, idle, fresh, handed := f.l.Dial(), f.l.Dial(), f.l.Dial(), f.l.Dial()
		ask(t, idle, bufio.NewReader(idle), sound)
		ask(t, handed, bufio.NewReader(handed), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		go func() { _, _ = io.WriteString(busy, sound) }()
		synctest.Wait()
		start := time.Now()
		var all sync.WaitGroup
		closed := func(name string, c net.Conn, at time.Duration, says string) {
			all.Go(func() {
				text, _ := io.ReadAll(c)
				if took := time.Since(start); took < at || took > at+600*time.Millisecond || !strings.HasSuffix(string(text), says) {
					t.Errorf("%s was closed after %v, expected %v: %q", name, took, at, text)
				}
			})
		}
		closed("a busy connection", busy, 3*time.Second, "ours")
		closed("an idle connection", idle, 0, "")
		closed("a new connection", fresh, 3*time.Second, "") // it was opened 3 s before
		closed("one of the other server", handed, 0, "")
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		all.Wait()
		if err := <-f.served; err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		late := f.l.Dial() // nobody accepts it
		if _, err := late.Read(make([]byte, 1)); err == nil {
			t.Error("a connection was served after the end")
		}
	})
}

// TestHandedOverShutdown: what another server answers while this one waits for an answer of its own ends its connection, and says so.
func TestHandedOverShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) }, func(s *http1.Server) {
			s.Rest.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(time.Second)
				_, _ = io.WriteString(w, "rest")
			})
		})
		busy, handed := f.l.Dial(), f.l.Dial()
		go func() { _, _ = io.WriteString(busy, sound) }()
		go func() { _, _ = io.WriteString(handed, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx") }()
		synctest.Wait()
		ended := make(chan error)
		go func() { ended <- f.Shutdown(context.Background()) }()
		var all sync.WaitGroup
		for _, c := range []net.Conn{handed, busy} {
			all.Go(func() {
				if text, _ := io.ReadAll(c); !strings.Contains(string(text), "\r\nConnection: close\r\n") {
					t.Errorf("an answer does not say that its connection ends: %q", text)
				}
			})
		}
		all.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		f.end(t)
	})
}

// TestShutdownGivesUp: it waits no longer than its context.
func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		c := f.l.Dial()
		go func() { _, _ = io.WriteString(c, sound) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		f.end(t) // the handler's context ends with its connection
	})
}

// TestStopKeepAlives: idle connections are closed, and an answer ends its own and says so.
func TestStopKeepAlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, nil)
		busy, idle := f.l.Dial(), f.l.Dial()
		ask(t, idle, bufio.NewReader(idle), sound)
		go func() { _, _ = io.WriteString(busy, sound) }()
		synctest.Wait()
		f.StopKeepAlives()
		if text, _ := io.ReadAll(idle); len(text) > 0 {
			t.Errorf("an idle connection says %q", text)
		}
		if text, _ := io.ReadAll(busy); !strings.Contains(string(text), "\r\nConnection: close\r\n") {
			t.Errorf("an answer does not say that its connection ends: %q", text)
		}
		f.end(t)
	})
}

// TestPanics: a handler that panics ends its connection alone, and is in the log.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/aborts" {
				panic(http.ErrAbortHandler)
			}
			panic("the handler's reason")
		}, nil)
		for _, path := range []string{"/aborts", "/panics"} {
			c := f.l.Dial()
			go func() { _, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n") }()
			if text, _ := io.ReadAll(c); len(text) > 0 {
				t.Errorf("%s: the client hears %q", path, text)
			}
		}
		f.end(t)
		if text := f.log.String(); strings.Count(text, "http: panic serving ") != 1 || !strings.Contains(text, "the handler's reason") || !strings.Contains(text, "life_test.go") {
			t.Errorf("the log is %q", text)
		}
	})
}

// TestClientTakesNothing: a write that fails ends the request's context, and the connection.
func TestClientTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed error
		f := serve(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			for failed == nil {
				if _, failed = w.Write(make([]byte, 1000)); failed == nil {
					failed = c.Flush()
				}
			}
			if r.Context().Err() == nil {
				t.Error("the context goes on")
			}
			if _, err := w.Write(make([]byte, 100_000)); err == nil {
				t.Error("another write succeeds")
			}
		}, nil)
		c := f.l.Dial()
		go func() { _, _ = io.WriteString(c, sound) }()
		_, _ = io.ReadFull(c, make([]byte, 1500))
		_ = c.Close()
		synctest.Wait()
		if failed == nil {
			t.Error("the handler writes on")
		}
		f.end(t)
	})
}

// TestAnswerIsOver: what a handler's goroutine does too late reaches no other answer.
func TestAnswerIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before http.ResponseWriter
		f := serve(func(w http.ResponseWriter, _ *http.Request) {
			if before != nil {
				if _, err := before.Write([]byte("evil")); err == nil || http.NewResponseController(before).Flush() == nil {
					t.Error("the answer before can still be written")
				}
			}
			before = w
			_, _ = io.WriteString(w, "ours")
		}, nil)
		c := f.l.Dial()
		r := bufio.NewReader(c)
		for range 3 {
			if got := ask(t, c, r, sound); got != "ours" {
				t.Errorf("the answer is %q", got)
			}
		}
		_ = c.Close()
		f.end(t)
	})
}
