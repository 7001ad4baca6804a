package coalesce

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a connection that counts the deadlines of reads that it is given.
type counted struct {
	net.Conn
	deadlines int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.deadlines++
	return c.Conn.SetReadDeadline(t)
}

// wants sets deadlines of reads: in so long, none for 0, passed for less.
func wants(t *testing.T, c net.Conn, in ...time.Duration) {
	t.Helper()
	for _, in := range in {
		at := time.Time{}
		if in != 0 {
			at = time.Now().Add(in)
		}
		if err := c.SetReadDeadline(at); err != nil {
			t.Error(err)
		}
	}
}

// piped is a connection in a bubble, and its client's half.
func piped(t *testing.T) (c *conn, beneath *counted, client net.Conn) {
	near, far := net.Pipe()
	beneath = &counted{Conn: near}
	c = newConn(beneath)
	t.Cleanup(func() { _, _ = c.Close(), far.Close() })
	return c, beneath, far
}

// A read ends by the deadline that its user has set last, whatever was set before.
func TestReadDeadlines(t *testing.T) {
	const never = -1
	for name, test := range map[string]struct {
		before []time.Duration // set before the read
		read   []time.Duration // set a second after it has begun
		want   time.Duration
	}{
		"one":                       {before: []time.Duration{10 * time.Second}, want: 10 * time.Second},
		"a later one":               {before: []time.Duration{time.Second, time.Minute}, want: time.Minute},
		"an earlier one":            {before: []time.Duration{time.Minute, time.Second}, want: time.Second},
		"none after one":            {before: []time.Duration{time.Second, 0}, want: never},
		"passed":                    {before: []time.Duration{time.Minute, -time.Hour}, want: 0},
		"passed, and none":          {before: []time.Duration{-time.Hour, 0}, want: never},
		"later, while it reads":     {before: []time.Duration{10 * time.Second}, read: []time.Duration{time.Hour}, want: time.Second + time.Hour},
		"earlier, while it reads":   {before: []time.Duration{time.Hour}, read: []time.Duration{time.Minute}, want: time.Second + time.Minute},
		"none, while it reads":      {before: []time.Duration{10 * time.Second}, read: []time.Duration{0}, want: never},
		"the first, while it reads": {read: []time.Duration{time.Minute}, want: time.Second + time.Minute},
		"passed, while it reads":    {before: []time.Duration{time.Hour}, read: []time.Duration{-time.Hour}, want: time.Second},
		"later, and earlier":        {before: []time.Duration{10 * time.Second}, read: []time.Duration{time.Hour, time.Minute}, want: time.Second + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, client := piped(t)
				begun := time.Now()
				if len(test.before) > 0 {
					wants(t, c, -time.Hour) // what an aborted read has left
					wants(t, c, test.before...)
				}
				if test.read != nil {
					time.AfterFunc(time.Second, func() { wants(t, c, test.read...) })
				}
				if test.want == never {
					time.AfterFunc(24*time.Hour, func() { _ = client.Close() })
				}
				_, err := c.Read(make([]byte, 1))
				took := time.Since(begun)
				if test.want == never {
					if err != io.EOF || took != 24*time.Hour {
						t.Errorf("%v after %v, want the client's end", err, took)
					}
				} else if !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want {
					t.Errorf("%v after %v, want a timeout after %v", err, took, test.want)
				}
			})
		})
	}
}

// TestReadAfterADeadline: one that has ended a read ends no other once it is taken back.
func TestReadAfterADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, client := piped(t)
		for range 3 {
			wants(t, c, time.Minute)
			time.AfterFunc(time.Second, func() { wants(t, c, -time.Hour) })
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			wants(t, c, 0)
			time.AfterFunc(time.Hour, func() { _, _ = client.Write([]byte("x")) })
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
	})
}

// TestFewDeadlines: what net/http wants around requests whose heads come at once is set once.
func TestFewDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, beneath, client := piped(t)
		for range 5 {
			wants(t, c, 75*time.Second) // the next request
			go func() { _, _ = client.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }()
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			wants(t, c, 0, 10*time.Second, 0, 0) // its head, its body, what comes behind
			wants(t, c, -time.Hour)              // no more of that
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			wants(t, c, 0)
			time.Sleep(time.Second) // of the bubble's clock
		}
		if beneath.deadlines != 1 {
			t.Errorf("%d deadlines were set, want 1", beneath.deadlines)
		}
	})
}

// timedOut is a connection that does not wait, as one whose own deadline has passed.
type timedOut struct {
	net.Conn
	reads int
}

func (c *timedOut) Read([]byte) (int, error) {
	c.reads++
	return 0, os.ErrDeadlineExceeded
}

func (*timedOut) SetReadDeadline(time.Time) error { return nil }

// TestDeadlineBeneath: a deadline of what is beneath, such as that of a load balancer's header,
// is no reason to ask for ever.
func TestDeadlineBeneath(t *testing.T) {
	beneath := new(timedOut)
	c := newConn(beneath)
	wants(t, c, time.Minute, 0)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || beneath.reads > 2 {
		t.Errorf("%v after %d reads", err, beneath.reads)
	}
}

// one is a listener with one connection.
type one struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *one) Close() error { close(l.closed); return nil }
func (*one) Addr() net.Addr { return &net.UnixAddr{} }

// serveOne has net/http serve one client in a bubble.
func serveOne(t *testing.T, handler http.HandlerFunc) (client net.Conn, answers *bufio.Reader) {
	near, far := net.Pipe()
	l := &one{make(chan net.Conn, 1), make(chan struct{})}
	l.conns <- near
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(Listener(l)) // until it is closed
	}()
	t.Cleanup(func() {
		_, _ = far.Close(), server.Close()
		<-done
	})
	return far, bufio.NewReader(far)
}

// get makes a request and reads its answer.
func get(t *testing.T, client net.Conn, answers *bufio.Reader, request string) string {
	t.Helper()
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// ends waits for the end of a connection.
func ends(t *testing.T, answers *bufio.Reader, want time.Duration) {
	t.Helper()
	begun := time.Now()
	_, err := io.Copy(io.Discard, answers)
	if took := time.Since(begun); err != nil || took != want {
		t.Errorf("the connection ended after %v, want %v; %v", took, want, err)
	}
}

const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// TestServerTimeouts: those of net/http hold to the second, also behind requests that took long.
func TestServerTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		last string // what the client sends at the end
		want time.Duration
	}{
		"an idle connection":  {"", 75 * time.Second},
		"a head without end":  {"GET / HTTP/1.1\r\nHo", 10 * time.Second},
		"a body without end":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 30 * time.Second},
		"a handler that asks": {"GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 100 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, answers := serveOne(t, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.ContentLength > 0:
						_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(30 * time.Second))
						if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("the body ends with %v", err)
						}
						w.Header().Set("Connection", "close")
					case r.URL.Path != "/":
						time.Sleep(100 * time.Second) // of the bubble's clock, longer than any deadline
						if err := r.Context().Err(); err != nil {
							t.Errorf("the client is there, and the request ends with %v", err)
						}
					}
				})
				for _, pause := range []time.Duration{0, 70 * time.Second, 5 * time.Second, 70 * time.Second} {
					time.Sleep(pause)
					get(t, client, answers, request)
					get(t, client, answers, "GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
				}
				if test.last != "" {
					time.Sleep(50 * time.Second)
					if _, err := io.WriteString(client, test.last); err != nil {
						t.Fatal(err)
					}
				}
				ends(t, answers, test.want)
			})
		})
	}
}

// TestClientThatGoes: a handler hears at once of a client that goes, however late that is.
func TestClientThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan time.Time, 1)
		client, answers := serveOne(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-r.Context().Done()
				heard <- time.Now()
			}
		})
		get(t, client, answers, request)
		if _, err := io.WriteString(client, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		gone := time.Now()
		_ = client.Close()
		if at := <-heard; !at.Equal(gone) {
			t.Errorf("after %v", at.Sub(gone))
		}
	})
}

// TestHijackedDeadlines: who takes a connection over has no deadline but those of its own.
func TestHijackedDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		client, answers := serveOne(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") == "" {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				ended <- err
				return
			}
			defer func() { _ = c.Close() }()
			b := make([]byte, 10)
			n, err := c.Read(b)
			if err == nil {
				_, err = c.Write(b[:n])
			}
			if err == nil {
				err = c.SetDeadline(time.Now().Add(time.Minute))
			}
			if err == nil {
				_, err = c.Read(b)
			}
			ended <- err
		})
		get(t, client, answers, request)
		if _, err := io.WriteString(client, strings.Replace(request, "\r\n\r\n", "\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := io.WriteString(client, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(answers, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
