package httpbackend

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// linkTo returns a connection of ours to a server that is given its end, and the
// upstream's place of the server.
func linkTo(t *testing.T, u *Upstream, server func(net.Conn)) (*link, *place) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan bool)
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			server(c)
			_ = c.Close()
		}
	}()
	at := u.place(Server{Network: "tcp", Address: l.Addr().String()})
	own, err := u.take(context.Background(), at, onlyHTTP1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.close()
		_ = l.Close()
		<-served
	})
	return own, at
}

func newTestUpstream() *Upstream {
	v := newVia("us")
	return &Upstream{via: &v, http1: true, times: Times{}.withDefaults()}
}

// TestIdleConnections: a connection that waits for a request is used again only while it
// is open and the server has said nothing by it, since that would be taken for the next
// answer; what is of no use is closed without being asked for (Traffic 153).
func TestIdleConnections(t *testing.T) {
	for name, server := range map[string]func(c net.Conn, used chan bool){
		"silent":               func(_ net.Conn, used chan bool) { <-used },
		"sends unasked":        func(c net.Conn, used chan bool) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); <-used },
		"has ended":            func(net.Conn, chan bool) {},
		"has ended its half":   func(c net.Conn, used chan bool) { _ = c.(*net.TCPConn).CloseWrite(); <-used },
		"silent, but too long": func(_ net.Conn, used chan bool) { <-used },
	} {
		t.Run(name, func(t *testing.T) {
			u, used := newTestUpstream(), make(chan bool)
			defer u.closeLinks()
			l, at := linkTo(t, u, func(c net.Conn) { server(c, used) })
			defer close(used)
			want := name == "silent"
			if !want && !strings.HasPrefix(name, "silent") {
				poll.Until(t, "the server to speak or end", func() bool { return !l.silent() })
			}
			u.keepLink(l)
			if name == "silent, but too long" {
				l.idleSince -= int64(idleTime) + 1
			}
			u.sweep()
			if kept := at.idle.take() != nil; kept != want {
				t.Errorf("kept: %v, want %v", kept, want)
			}
		})
	}
	t.Run("none after the upstream's end", func(t *testing.T) {
		u, used := newTestUpstream(), make(chan bool)
		l, at := linkTo(t, u, func(net.Conn) { <-used })
		defer close(used)
		u.closeLinks()
		u.keepLink(l)
		if at.idle.take() != nil {
			t.Error("it is kept")
		}
	})
}

// TestUnsendable: nothing is written to a server that ends a line or a message early.
func TestUnsendable(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"a method":        {Method: "GET / HTTP/1.1\r\nX:"},
		"CONNECT":         {Method: "CONNECT"},
		"a target":        {Method: "GET", Host: "/a b"},
		"a line's end":    {Method: "GET", Host: "/\r\nX: y"},
		"a field's name":  {Method: "GET", Header: http.Header{"X: y\r\nZ": {"1"}}},
		"a field's value": {Method: "GET", Header: http.Header{"X": {"1\r\nY: 2"}}},
		"NUL":             {Method: "GET", Header: http.Header{"X": {"1\x00"}}},
	} {
		if sendable(r, "/"+strings.TrimPrefix(r.Host, "/")) == nil {
			t.Errorf("%s: it is sent", name)
		}
	}
	if err := sendable(&http.Request{Method: "PROPFIND", Header: http.Header{"X": {"a\tb"}, "User-Agent": nil}}, "/a%20b?c"); err != nil {
		t.Error(err)
	}
	for host, want := range map[string]string{
		"a:1": "a:1", "[fe80::1%eth0]:80": "[fe80::1]:80", "bücher.example": "xn--bcher-kva.example", "a b": "", "a\r\nX: y": "", "a/b": "",
	} {
		if got := hostLine(host); got != want {
			t.Errorf("%q is sent as %q, want %q", host, got, want)
		}
	}
}

// canned is a connection by which a server has sent something, and nothing more comes.
type canned struct {
	net.Conn
	from io.Reader
}

func (c *canned) Read(p []byte) (int, error) { return c.from.Read(p) }

// FuzzAnswer: whatever a server sends is an answer within the bounds or an error, and no
// byte behind it is taken for another answer.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nx",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/0.9", "HTTP/1.1 999\r\n X: y\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 70), "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxAnswerHeader),
	} {
		f.Add([]byte(seed), "GET")
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), "HEAD")
	f.Fuzz(func(t *testing.T, sent []byte, method string) {
		u := newTestUpstream()
		e := &exchange{Exchange: &Exchange{W: httptest.NewRecorder(), R: &http.Request{Method: method, ProtoMajor: 1, ProtoMinor: 1}}, u: u}
		l := newLink(&canned{from: bytes.NewReader(sent)}, nil, nil)
		l.attach(e)
		response, err := e.readAnswer(l, &http.Request{Method: method})
		if err != nil {
			return
		}
		if response.StatusCode != 101 && response.StatusCode >= 100 && response.StatusCode < 200 || e.informed > maxInformed {
			t.Errorf("status %d after %d informational ones", response.StatusCode, e.informed)
		}
		size := 0
		for name, values := range response.Header {
			size += len(name)
			for _, value := range values {
				size += len(value)
			}
		}
		if size > maxAnswerHeader {
			t.Errorf("a header of %d bytes", size)
		}
		l.left = int64(len(sent)) + 1
		n, err := io.Copy(io.Discard, response.Body)
		if length := response.ContentLength; err == nil && length >= 0 && method != "HEAD" && n != length && response.Body != http.NoBody {
			t.Errorf("%d bytes of %d without an error", n, length)
		}
	})
}

// TestPlacesAreForgotten: of the servers that there were, no more are known than there may
// be, and one that is forgotten keeps no connection that nobody would find.
func TestPlacesAreForgotten(t *testing.T) {
	u, used := newTestUpstream(), make(chan bool)
	defer u.closeLinks()
	l, at := linkTo(t, u, func(net.Conn) { <-used })
	defer close(used)
	kept, keptAt := linkTo(t, u, func(net.Conn) { <-used })
	u.keepLink(kept)
	for i := range 10 * manyPlaces {
		u.place(Server{Network: "tcp", Address: "10.0.0.1:" + strconv.Itoa(i)})
	}
	n := 0
	u.places.Range(func(any, any) bool { n++; return true })
	if n > 4*manyPlaces+4 { // two keys each, of two rounds
		t.Errorf("%d places are known", n)
	}
	if u.keepLink(l); at.idle.take() != nil {
		t.Error("a connection to a server that is forgotten is kept")
	}
	if again := u.place(at.Server); again == at || again.idle.forgotten.Load() {
		t.Error("a server that is forgotten is not known anew")
	}
	if u.place(keptAt.Server) != keptAt || keptAt.idle.take() == nil {
		t.Error("a server by which a connection waits is forgotten")
	}
}

// TestOnePlace: whoever asks for a server at the same time gets the same place, which is
// the one that its host leads to as well.
func TestOnePlace(t *testing.T) {
	u := newTestUpstream()
	for i := range 200 {
		s := Server{Network: "tcp", Address: "10.0.0.1:" + strconv.Itoa(i)}
		var places [4]*place
		var asking sync.WaitGroup
		for j := range places {
			asking.Go(func() { places[j] = u.place(s) })
		}
		asking.Wait()
		for _, p := range places {
			if p != u.placeAt(s.Address) {
				t.Fatal("a server has several places")
			}
		}
	}
}
