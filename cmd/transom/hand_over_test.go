package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	handOvers        = flag.Int("hand-overs", 3, "how often TestHandOvers replaces the process")
	handOverRequests = flag.Int64("hand-over-requests", 300, "how many requests TestHandOvers makes at least")
)

// startReplaced is a gateway as a process, whose calls are answered at once, and whose streams
// wait for the end of their client. more are lines of its configuration.
func startReplaced(t *testing.T, bin, listeners, more string) *process {
	t.Helper()
	return startConfigured(t, bin, replaced(t, listeners, more))
}

// replaced is the configuration of startReplaced, whose server it starts.
func replaced(t *testing.T, listeners, more string) (config string) {
	t.Helper()
	target := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Watch") {
			<-stream.Context().Done()
		}
		return nil
	})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "u.proto"), uploadProto)
	write(t, filepath.Join(dir, "transom.yaml"), fmt.Sprintf("listeners: %s\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
		"upstreams: { u: { grpc: { target: %q } } }\n%s", listeners, target, more))
	return filepath.Join(dir, "transom.yaml")
}

// upgraded has the gateway replaced, and waits until the new process serves.
func (p *process) upgraded() {
	p.t.Helper()
	code, out, told := command(p.t, "upgrade", "--admin", strings.TrimPrefix(p.admin, "http://"))
	found := regexp.MustCompile(`^process ([0-9]+) serves\n$`).FindStringSubmatch(out)
	if code != 0 || found == nil {
		p.t.Fatalf("upgrade: %d %s%s", code, out, told)
	}
	p.last = processOf(p.t, found[1])
}

// processOf is the process of an id.
func processOf(t *testing.T, id string) *os.Process {
	t.Helper()
	pid, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// dialUnix dials a unix socket, whatever the address.
func dialUnix(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// load is clients that ask without a pause and count what fails.
type load struct {
	url     string
	ctx     context.Context
	running sync.WaitGroup
	asked   [3]atomic.Int64 // by HTTP/1.1, by HTTP/2, over WebSockets
	moved   atomic.Int64    // WebSockets closed with 1012
	mu      sync.Mutex
	failed  []string
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, fmt.Sprintf(format, args...))
}

// requests asks by a client until the load ends. By HTTP/1.1 no request can be sent again: its
// body cannot be.
func (l *load) requests(which int) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(which == 0)
	protocols.SetUnencryptedHTTP2(which == 1)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for l.ctx.Err() == nil {
		request, err := http.NewRequest(http.MethodPost, l.url+"/v1/puts", strings.NewReader(`{"name":"a"}`))
		if err != nil {
			l.fail("%v", err)
			return
		}
		if which == 0 {
			request.Body, request.GetBody = struct{ io.ReadCloser }{request.Body}, nil
		}
		answer, err := client.Do(request)
		l.asked[which].Add(1)
		if err != nil {
			l.fail("%d: %v", which, err)
			continue
		}
		text, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			l.fail("%d: %s %s %v", which, answer.Status, text, err)
		}
	}
}

// webSockets opens a WebSocket, and another one where the gateway asks for that by 1012.
func (l *load) webSockets() {
	for l.ctx.Err() == nil {
		c, _, err := websocket.Dial(l.ctx, l.url+"/u.v1.U/Watch", nil)
		if err != nil {
			if l.ctx.Err() == nil {
				l.fail("WebSocket: %v", err)
			}
			return
		}
		l.asked[2].Add(1)
		err = c.Write(l.ctx, websocket.MessageText, []byte("{}"))
		for messages := 0; err == nil; messages++ {
			var text []byte
			if _, text, err = c.Read(l.ctx); err == nil && messages > 0 && !bytes.HasPrefix(text, []byte(`{"error":{"code":14,`)) {
				l.fail("WebSocket: a second message: %s", text)
			}
		}
		switch status := websocket.CloseStatus(err); {
		case status == websocket.StatusServiceRestart:
			l.moved.Add(1)
		case l.ctx.Err() == nil:
			l.fail("WebSocket: %v", err)
		}
		_ = c.CloseNow() // it may be closed already
	}
}

func (l *load) all() int64 { return l.asked[0].Load() + l.asked[1].Load() + l.asked[2].Load() }

// TestHandOvers: Traffic 196 and 202: while clients ask without a pause by HTTP/1.1, HTTP/2 and
// WebSockets, the process is replaced several times, and nothing fails. WebSockets are closed with
// 1012.
func TestHandOvers(t *testing.T) {
	gateway := startReplaced(t, buildTransom(t), `[{ address: "127.0.0.1:0" }]`, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &load{url: gateway.url, ctx: ctx}
	const each = 2
	for range each {
		l.running.Go(func() { l.requests(0) })
		l.running.Go(func() { l.requests(1) })
		l.running.Go(l.webSockets)
	}
	first := gateway.cmd.Process.Pid
	for i := range int64(*handOvers) {
		poll.Until(t, "requests", func() bool { return l.all() >= *handOverRequests*(i+1)/int64(*handOvers+1) })
		moved := l.moved.Load()
		before := l.asked[0].Load()
		gateway.upgraded()
		poll.Until(t, "the WebSockets to be moved", func() bool { return l.moved.Load() >= moved+each })
		poll.Until(t, "requests to the new process", func() bool { return l.asked[0].Load() > before+10 })
	}
	poll.Until(t, "the last requests", func() bool { return l.all() >= *handOverRequests })
	cancel()
	l.running.Wait()
	for i, what := range l.failed {
		if i == 10 {
			break
		}
		t.Error(what)
	}
	t.Logf("%d hand-overs, %d requests by HTTP/1.1, %d by HTTP/2, %d WebSockets, %d of them moved by 1012: %d failed",
		*handOvers, l.asked[0].Load(), l.asked[1].Load(), l.asked[2].Load(), l.moved.Load(), len(l.failed))
	if gateway.last.Pid == first {
		t.Error("the process is the first one still")
	}
	gateway.stop()
	if n := bytes.Count([]byte(gateway.log.String()), []byte(`"msg":"stopped"`)); n != *handOvers+1 {
		t.Errorf("%d processes have stopped well, want %d", n, *handOvers+1)
	}
}
