package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/http1"
)

// TestAnswersOfNetHTTP has every handler answer every request here and by net/http alone: each on a connection
// of its own, all behind each other at once, and one after the other.
func TestAnswersOfNetHTTP(t *testing.T) {
	t.Parallel()
	for at, h := range handlers {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := newSides(t, h.serve)
			check := func(name string, run func(*side) outcome) {
				t.Helper()
				if text := run(ours).differs(run(theirs), h.cuts); text != "" {
					t.Errorf("%s: %s", name, text)
				}
			}
			var kept []string
			for i, r := range requests {
				if i > 1 && (i+at)%every != 0 {
					continue // each request meets some handlers, and each handler some requests
				}
				check(r.name, func(s *side) outcome { return s.send(r.raw + probe) })
				if r.raw != "" && strings.Contains(theirs.send(r.raw+probe).answers, probed) {
					kept = append(kept, r.raw)
				}
			}
			check("pipelined", func(s *side) outcome { return s.send(strings.Join(kept, "") + probe) })
			check("one after the other", func(s *side) outcome { return s.converse(append(kept, probe)) })
			for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
				kept[i], kept[j] = kept[j], kept[i]
			}
			check("pipelined, backwards", func(s *side) outcome { return s.send(strings.Join(kept, "") + probe) })
		})
	}
}

// TestAnswersOverTCP is of the ways a body may take past the server.
func TestAnswersOverTCP(t *testing.T) {
	t.Parallel()
	for _, h := range handlers {
		if !strings.HasPrefix(h.name, "copy") {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := newSides(t, h.serve)
			for _, raw := range []string{get, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", get + get + get} {
				if text := ours.sendTCP(raw).differs(theirs.sendTCP(raw), h.cuts); text != "" {
					t.Errorf("%q: %s", raw, text)
				}
			}
		})
	}
}

// every is how many requests TestAnswersOfNetHTTP leaves out for one that a handler meets.
const every = 24

const (
	get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	// probe is answered where the connection is still there, and ends it.
	probe  = "GET /probe HTTP/1.1\r\nHost: probe.example\r\n\r\n"
	probed = "the connection is there"
)

// behavior is what a handler does. It notes what the server tells it.
type behavior func(w http.ResponseWriter, r *http.Request, note func(...any))

// side is a server, and what its handlers have seen.
type side struct {
	pipes, tcp *listener
	seen       sync.Map // *record by RemoteAddr
	connected  atomic.Int64
}

// record is what handlers have seen of the requests of a connection.
type record struct {
	mu      sync.Mutex
	text    strings.Builder
	methods []string
}

// newSides starts the server under test, and net/http's.
func newSides(tb testing.TB, serve behavior) (ours, theirs *side) {
	quiet := log.New(io.Discard, "", 0)
	ours, theirs = newSide(tb), newSide(tb)
	plain := func(s *side) *http.Server {
		return &http.Server{
			Handler: s.handler(serve), ErrorLog: quiet, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute,
			DisableGeneralOptionsHandler: true,
		}
	}
	server := &http1.Server{
		Handler: ours.handler(serve), Rest: plain(ours), Header: time.Minute, Idle: time.Minute, Base: context.Background(), Log: quiet,
	}
	tb.Cleanup(func() { _ = server.Close() })
	ours.start(server.Serve)
	reference := plain(theirs)
	tb.Cleanup(func() { _ = reference.Close() })
	theirs.start(reference.Serve)
	return ours, theirs
}

func newSide(tb testing.TB) *side {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return &side{
		pipes: &listener{conns: make(chan net.Conn), closed: make(chan struct{})},
		tcp:   &listener{Listener: tcp, closed: make(chan struct{})},
	}
}

func (s *side) start(serve func(net.Listener) error) {
	for _, l := range []net.Listener{s.pipes, s.tcp} {
		go func() {
			_ = serve(http1head.Listener(l, http1head.Options{MaxHead: 1 << 20, Answer: func(_ net.Conn, r http1head.Refusal) []byte {
				return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", r.Status, r.Message)
			}}))
		}()
	}
}

// handler notes what it sees, and behaves.
func (s *side) handler(serve behavior) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, ok := s.seen.Load(r.RemoteAddr)
		if !ok {
			panic("an address of nobody: " + r.RemoteAddr)
		}
		of := found.(*record)
		note := func(what ...any) {
			of.mu.Lock()
			defer of.mu.Unlock()
			fmt.Fprintln(&of.text, what...)
		}
		of.mu.Lock()
		of.methods = append(of.methods, r.Method)
		of.mu.Unlock()
		at := *r.URL
		note(fmt.Sprintf("%q %#v %q %q %s %d %d", r.Method, at, r.RequestURI, r.Host, r.Proto, r.ProtoMajor, r.ProtoMinor))
		note(fmt.Sprintf("%q", r.Header))
		note(r.ContentLength, r.TransferEncoding == nil, r.TransferEncoding, r.Close, r.TLS, r.Body == http.NoBody, r.Trailer == nil, r.Trailer,
			r.Form, r.PostForm, r.MultipartForm, r.Response, r.Pattern, r.GetBody == nil)
		note(r.Context().Value(http.LocalAddrContextKey).(net.Addr).Network())
		if r.Host == "probe.example" && r.URL.Path == "/probe" && r.ContentLength == 0 {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, probed)
			return
		}
		serve(w, r, note)
	})
}

// outcome is what came of a connection.
type outcome struct{ answers, seen string }

// differs says what is not as with net/http. An answer that is broken off may end anywhere.
func (o outcome) differs(want outcome, cut bool) string {
	switch {
	case o.seen != want.seen:
		return fmt.Sprintf("the handler has seen\n%s\nand with net/http\n%s", around(o.seen, want.seen), around(want.seen, o.seen))
	case o.answers == want.answers, cut && (strings.HasPrefix(want.answers, o.answers) || strings.HasPrefix(o.answers, want.answers)):
		return ""
	}
	return fmt.Sprintf("the answer of %d bytes, and %d with net/http, is\n%q\nand net/http's\n%q", len(o.answers), len(want.answers), around(o.answers, want.answers), around(want.answers, o.answers))
}

// around is what is around the first byte of a text that is not as in the other.
func around(text, other string) string {
	at := 0
	for at < min(len(text), len(other)) && text[at] == other[at] {
		at++
	}
	return text[max(0, at-400):min(len(text), at+300)]
}

// connect connects to a server in memory.
func (s *side) connect() (*pipe, *record) {
	requests, read := net.Pipe()
	answers, write := net.Pipe()
	name := address("client " + strconv.FormatInt(s.connected.Add(1), 10))
	of := new(record)
	s.seen.Store(string(name), of)
	s.pipes.conns <- &pipe{read, write, "server", name}
	return &pipe{answers, requests, name, "server"}, of
}

// send sends everything at once, and reads until the server closes the connection.
func (s *side) send(raw string) outcome {
	c, of := s.connect()
	defer s.seen.Delete(c.LocalAddr().String())
	return exchange(c, of, raw)
}

func (s *side) sendTCP(raw string) outcome {
	c, err := net.Dial("tcp", s.tcp.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	of := new(record)
	s.seen.Store(c.LocalAddr().String(), of)
	return exchange(c, of, raw)
}

func exchange(c net.Conn, of *record, raw string) outcome {
	go func() {
		_, _ = io.WriteString(c, raw) // it may be closed before
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	all, err := io.ReadAll(c)
	_ = c.Close()
	if err != nil {
		all = append(all, err.Error()...)
	}
	return of.outcome(all)
}

// converse sends a request when the one before it has been answered.
func (s *side) converse(raw []string) outcome {
	c, of := s.connect()
	defer func() { _ = c.Close() }()
	var all bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &all))
	for _, request := range raw {
		if _, err := io.WriteString(c, request); err != nil {
			break
		}
		method, _, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
		if !readAnswer(r, method) {
			break
		}
	}
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, r)
	return of.outcome(all.Bytes())
}

// readAnswer reads an answer and those that are before it, and reports whether it is whole.
func readAnswer(r *bufio.Reader, method string) bool {
	for {
		answer, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return false
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			_, err = io.Copy(io.Discard, answer.Body)
			return err == nil
		}
	}
}

var dates = regexp.MustCompile(`\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT\r\n`)

// ports are in the errors of connections.
var ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// outcome leaves out of the answers what may differ: the date, and where chunks are cut.
func (r *record) outcome(answers []byte) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	rest := string(answers)
	for i := 0; rest != ""; {
		head, after, whole := strings.Cut(rest, "\r\n\r\n")
		if !whole {
			b.WriteString(rest)
			break
		}
		head = dates.ReplaceAllString(head+"\r\n", "\r\nDate: now\r\n")
		b.WriteString(head + "\r\n")
		rest = after
		if strings.HasPrefix(head, "HTTP/1.1 1") && !strings.HasPrefix(head, "HTTP/1.1 101") {
			continue
		}
		method := ""
		if i < len(r.methods) {
			method = r.methods[i]
		}
		i++
		rest = body(&b, head, method, rest)
	}
	return outcome{b.String(), ports.ReplaceAllString(r.text.String(), "ADDRESS")}
}

// body takes the body of an answer, and returns what is behind it.
func body(b *strings.Builder, head, method, rest string) string {
	field := func(name string) (value string) {
		if _, after, ok := strings.Cut(head, "\r\n"+name+": "); ok {
			value, _, _ = strings.Cut(after, "\r\n")
		}
		return value
	}
	status := head[len("HTTP/1.1 "):]
	n, err := strconv.Atoi(field("Content-Length"))
	switch {
	case method == http.MethodHead || strings.HasPrefix(status, "1") || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304"):
		return rest
	case strings.HasSuffix(head, "\r\nTransfer-Encoding: chunked\r\n"):
		return chunks(b, rest)
	case err == nil && n >= 0:
		n = min(n, len(rest))
		b.WriteString(rest[:n])
		return rest[n:]
	}
	b.WriteString(rest)
	return ""
}

func chunks(b *strings.Builder, rest string) string {
	for {
		line, after, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.ParseInt(line, 16, 32)
		if err != nil {
			return "" // it is broken off
		}
		rest = after
		if n == 0 {
			break
		}
		b.WriteString(rest[:min(int(n), len(rest))])
		rest = strings.TrimPrefix(rest[min(int(n), len(rest)):], "\r\n")
	}
	b.WriteString("\n(the end)\n")
	for {
		line, after, _ := strings.Cut(rest, "\r\n")
		rest = after
		if line == "" {
			return rest
		}
		b.WriteString("trailer " + line + "\n")
	}
}

// pipe is a connection in memory of which either direction can be closed alone.
type pipe struct {
	net.Conn      // of which is read
	out           net.Conn
	local, remote address
}

func (p *pipe) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *pipe) CloseWrite() error           { return p.out.Close() }
func (p *pipe) LocalAddr() net.Addr         { return p.local }
func (p *pipe) RemoteAddr() net.Addr        { return p.remote }

// A pipe's deadlines fail once the other end has closed, which those of a socket do not.
func (p *pipe) SetWriteDeadline(t time.Time) error { _ = p.out.SetWriteDeadline(t); return nil }
func (p *pipe) SetReadDeadline(t time.Time) error  { _ = p.Conn.SetReadDeadline(t); return nil }

func (p *pipe) SetDeadline(t time.Time) error {
	_ = p.SetWriteDeadline(t) // it never fails
	return p.SetReadDeadline(t)
}

func (p *pipe) Close() error {
	_ = p.out.Close() // a pipe's never fails
	return p.Conn.Close()
}

type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }

// listener accepts the connections of a side.
type listener struct {
	net.Listener // nil in memory
	conns        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	if l.Listener != nil {
		return l.Listener.Accept()
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.Listener != nil {
		return l.Listener.Close()
	}
	return nil
}

func (l *listener) Addr() net.Addr { return address("server") }
