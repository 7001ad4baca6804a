package httpbackend_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestExpect: the client is told to send its body when the server says so, or is given the
// server's final answer in its place (Traffic 146).
func TestExpect(t *testing.T) {
	say, read := make(chan string), make(chan string, 1)
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if !strings.Contains(head, "Expect: 100-continue\r\n") {
			t.Errorf("the server gets %q", head)
		}
		_, _ = io.WriteString(c, <-say)
		body := make([]byte, 4)
		n, _ := io.ReadFull(r, body)
		read <- string(body[:n])
		_, _ = io.WriteString(c, <-say)
	})
	g := newRig(t, address, httpbackend.Options{})
	const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

	t.Run("the server wants the body", func(t *testing.T) {
		c := g.dial(t)
		_, _ = io.WriteString(c, request)
		say <- "HTTP/1.1 100 Continue\r\n\r\n"
		reader := bufio.NewReader(c)
		if head, err := readHead(reader); head != "HTTP/1.1 100 Continue\r\n\r\n" || err != nil {
			t.Errorf("the client gets %q, %v", head, err)
		}
		_, _ = io.WriteString(c, "body")
		if got := <-read; got != "body" {
			t.Errorf("the server gets %q", got)
		}
		say <- ok
		if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 200 {
			t.Errorf("%v, %v", response, err)
		}
	})
	t.Run("the server does not", func(t *testing.T) {
		c := g.dial(t)
		_, _ = io.WriteString(c, request)
		say <- "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 417 Expectation Failed\r\n") || !strings.HasSuffix(string(got), "no") || strings.Contains(string(got), "100 Continue") {
			t.Errorf("the client gets %q, %v", got, err)
		}
		if got := <-read; got != "" {
			t.Errorf("the server gets %q", got)
		}
		say <- ""
	})
	t.Run("the client does not wait", func(t *testing.T) {
		c := g.dial(t)
		_, _ = io.WriteString(c, request+"body")
		say <- "HTTP/1.1 100 Continue\r\n\r\n"
		if got := <-read; got != "body" {
			t.Errorf("the server gets %q", got)
		}
		say <- ok
		reader := bufio.NewReader(c)
		response, err := http.ReadResponse(reader, nil)
		if err == nil && response.StatusCode == 100 {
			response, err = http.ReadResponse(reader, nil)
		}
		if err != nil || response.StatusCode != 200 {
			t.Errorf("%v, %v", response, err)
		}
	})
}

// TestExpectIgnored: a server that knows nothing of 100 gets the body after a while.
func TestExpectIgnored(t *testing.T) {
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		body := make([]byte, 4)
		n, _ := io.ReadFull(r, body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"+string(body[:n]))
	})
	g := newRig(t, address, httpbackend.Options{Times: httpbackend.Times{Continue: 1}})
	for _, name := range []string{"HTTP/1.1", "HTTP/2"} {
		if got := do(t, g.Clients[name], "POST", "/", strings.NewReader("body"), "Expect", "100-continue"); got.body != "body" || got.err != nil {
			t.Errorf("%s: %q, %v", name, got.body, got.err)
		}
	}
}

// TestInformational: a client of HTTP/1.0 gets no informational answers, others get 100 too
// where they did not ask for it (Traffic 146).
func TestInformational(t *testing.T) {
	g := newRig(t, answers(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), httpbackend.Options{})
	g.change = func(x *httpbackend.Exchange) {
		h := x.W.Header()
		h["X-Request-Id"] = []string{"7"}
		x.Answer = func(int, string, http.Header) {
			if h.Get("X-Request-Id") != "7" {
				t.Errorf("the header of the answer is %v", h)
			}
		}
	}
	if got := g.raw(t, "GET / HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") || strings.Contains(got, "Link") {
		t.Errorf("the client gets %q", got)
	}
	if got := g.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n") || !strings.Contains(got, "X-Request-Id: 7\r\n") {
		t.Errorf("the client gets %q", got)
	}
	var continued atomic.Bool
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued.Store(true) }})
	r, _ := http.NewRequestWithContext(trace, "GET", g.Clients["HTTP/2"].URL, nil)
	response, err := g.Clients["HTTP/2"].Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if !continued.Load() {
		t.Error("the client of HTTP/2 does not get 100")
	}
}
