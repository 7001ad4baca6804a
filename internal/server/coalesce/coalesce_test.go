package coalesce

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// recorder is a connection that notes each Write and can be made to wait.
type recorder struct {
	net.Conn
	input io.Reader
	gate  chan struct{} // each Write takes one; nil for none

	mu     sync.Mutex
	writes []string
	fails  error
	closed bool
}

func (r *recorder) Read(p []byte) (int, error) { return r.input.Read(p) }

func (r *recorder) Write(p []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		return 0, r.fails
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func (r *recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// begin makes a connection that has read its first bytes.
func begin(t *testing.T, firstBytes string) (*conn, *recorder) {
	t.Helper()
	r := &recorder{input: strings.NewReader(firstBytes)}
	c := newConn(r)
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	return c, r
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func TestHTTP2WritesAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		r.gate = make(chan struct{})
		write(t, c, "a")
		synctest.Wait() // the first is under way
		write(t, c, "b")
		write(t, c, "c")
		write(t, c, "d")
		close(r.gate)
		synctest.Wait()
		if got := strings.Join(r.writes, "|"); got != "a|bcd" {
			t.Errorf("got %s", got)
		}
	})
}

// Frames are read in two steps each; the network is asked once.
func TestHTTP2ReadsAreJoined(t *testing.T) {
	c, r := begin(t, "PRI * HTTP/2.0")
	r.input = iotest.DataErrReader(strings.NewReader("0123456789"))
	var got []string
	for range 5 {
		b := make([]byte, 2)
		if n, err := c.Read(b); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		got = append(got, string(b))
	}
	if strings.Join(got, "|") != "01|23|45|67|89" {
		t.Errorf("got %q", got)
	}
	if _, err := c.Read(make([]byte, 2)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestHTTP1WritesAreNot(t *testing.T) {
	c, r := begin(t, "GET / HTTP/1.1\r\n")
	write(t, c, "a")
	write(t, c, "b")
	if got := strings.Join(r.writes, "|"); got != "a|b" {
		t.Errorf("got %s", got)
	}
}

func TestPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "PRI * HTTP/2.0")
		r.gate = make(chan struct{})
		piece := strings.Repeat("x", 16<<10)
		written := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				if _, err := c.Write([]byte(piece)); err != nil {
					t.Errorf("Write: %v", err)
				}
				written++
			}
		}()
		synctest.Wait()
		if limit := 2 * maxPending / len(piece); written > limit { // half of them under way
			t.Errorf("%d writes were taken, want at most %d", written, limit)
		}
		close(r.gate)
		<-done
		synctest.Wait()
		if got := len(strings.Join(r.writes, "")); got != 100*len(piece) {
			t.Errorf("%d bytes arrived", got)
		}
	})
}

func TestCloseSendsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "PRI * HTTP/2.0")
		write(t, c, "goaway")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.writes, "|"); got != "goaway" || !r.closed {
			t.Errorf("got %s, closed: %v", got, r.closed)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
	})
}

func TestErrorsReachTheNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "PRI * HTTP/2.0")
		r.fails = io.ErrClosedPipe
		write(t, c, "x")
		synctest.Wait()
		if _, err := c.Write([]byte("y")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
	})
}

// A real server, with and without TLS, HTTP/1 and HTTP/2.
func TestServer(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	body := bytes.Repeat([]byte("0123456789"), 50_000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
		_, _ = w.Write(body)
	})
	for _, secure := range []bool{false, true} {
		for _, two := range []bool{false, true} {
			server := httptest.NewUnstartedServer(handler)
			server.Listener = Listener(server.Listener)
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetHTTP2(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.EnableHTTP2 = two
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(!two)
			transport.Protocols.SetHTTP2(two)
			transport.Protocols.SetUnencryptedHTTP2(two)
			if secure {
				server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: ConfigForClient(nil)}
				server.StartTLS()
				transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
			} else {
				server.Start()
			}
			want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[two]
			for range 20 {
				r, err := (&http.Client{Transport: transport}).Get(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err != nil || !bytes.Equal(got, body) || r.Header.Get("Proto") != want {
					t.Fatalf("TLS %v: got %d bytes by %s, want %s; %v", secure, len(got), r.Header.Get("Proto"), want, err)
				}
			}
			transport.CloseIdleConnections()
			server.Close()
		}
	}
}

// halfClosing is a recorder that can be closed for writing, and notes when.
type halfClosing struct{ *recorder }

func (h halfClosing) CloseWrite() error {
	_, err := h.Write([]byte("END"))
	return err
}

// What was written before leaves before the end, be it joined or a first part.
func TestCloseWriteSendsTheRest(t *testing.T) {
	for name, test := range map[string]struct{ input, text string }{
		"joined":       {"PRI * HT", "an answer"},
		"a first part": {"GET / HTTP/1.1\r\n", strings.Repeat("a", fullBuffer)},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := begin(t, test.input)
			c.Conn = halfClosing{r}
			write(t, c, test.text)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := strings.Join(r.writes, ""); got != test.text+"END" {
				t.Errorf("%.40q… of %d bytes", got, len(got))
			}
		})
	}
}
