package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// openWebSocket asks for one, byte by byte as it goes over the network.
const openWebSocket = "GET /u.v1.U/Watch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// message is a frame of a text, {}, masked by zeros.
const message = "\x81\x82\x00\x00\x00\x00{}"

// attacks are what clients do with a connection that is theirs. It is closed after that.
var attacks = map[string]func(c net.Conn){
	"WebSockets that flood and do not read": func(c net.Conn) {
		_, _ = io.WriteString(c, openWebSocket) // here and below: a connection that has ended is what is tried
		flood := strings.Repeat(message, 100)
		for range 20 {
			if _, err := io.WriteString(c, flood); err != nil {
				return
			}
		}
	},
	"WebSockets that are half closed": func(c net.Conn) {
		_, _ = io.WriteString(c, openWebSocket+message)
		if half, ok := c.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, c)
	},
	"WebSockets that stop in the middle of a frame": func(c net.Conn) {
		_, _ = io.WriteString(c, openWebSocket+message+message[:3])
		_, _ = io.CopyN(io.Discard, c, 200)
	},
	"WebSockets that are opened by halves": func(c net.Conn) {
		_, _ = io.WriteString(c, openWebSocket[:60])
		_, _ = io.CopyN(io.Discard, c, 1)
	},
	"WebSockets that are closed without an answer": func(c net.Conn) {
		_, _ = io.WriteString(c, openWebSocket+message+"\x88\x82\x00\x00\x00\x00\x03\xe8")
		_, _ = bufio.NewReader(c).ReadString('\n')
	},
	"streams that are left open, or taken back": func(c net.Conn) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		defer client.CloseIdleConnections()
		var asked sync.WaitGroup
		defer asked.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		for range 10 {
			asked.Go(func() {
				body, input := io.Pipe()
				defer func() { _ = input.Close() }()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://a/u.v1.U/Watch", body)
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/grpc")
				go func() { _, _ = io.WriteString(input, "\x00\x00\x00\x00\x00") }()
				if answer, err := client.RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
				}
			})
		}
		<-ctx.Done()
		cancel()
	},
}

// attack makes some connections for each of the attacks, one after the other, each for half a second at most.
func attack(address string, running *sync.WaitGroup) {
	for _, with := range attacks {
		running.Go(func() {
			for range 5 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond)) // it is open
				with(c)
				_ = c.Close()
			}
		})
	}
}

// gauge is a metric of the process that serves.
func (p *process) gauge(name string) int {
	p.t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(body(p.t, p.admin+"/metrics"))
	if found == nil {
		p.t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return int(value)
}

// TestHandOversUnderAttack: Traffic 196 and 202: the process is replaced six times while clients flood WebSockets, half close
// them, stop in the middle of frames, and leave streams open. Others lose no call; each process that was
// replaced ends, and the last one has neither goroutines nor files of what is over.
func TestHandOversUnderAttack(t *testing.T) {
	gateway := startReplaced(t, buildTransom(t), `[{ address: "127.0.0.1:0" }]`, "shutdown_timeout: 20s\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &load{url: gateway.url, ctx: ctx}
	l.running.Go(func() { l.requests(0) })
	l.running.Go(func() { l.requests(1) })
	l.running.Go(l.webSockets)
	var attackers sync.WaitGroup
	const replaced = 6
	for range replaced {
		before := [2]int64{l.asked[0].Load(), l.asked[1].Load()}
		attack(strings.TrimPrefix(gateway.url, "http://"), &attackers)
		poll.Until(t, "requests while clients attack", func() bool { return l.asked[0].Load() > before[0] && l.asked[1].Load() > before[1] })
		gateway.upgraded()
	}
	poll.Until(t, "the others to have ended", func() bool { return strings.Count(gateway.log.String(), `"msg":"stopped"`) == replaced })
	attackers.Wait()
	moved := l.moved.Load()
	cancel()
	l.running.Wait()
	for _, what := range l.failed[:min(len(l.failed), 10)] {
		t.Error(what)
	}
	var goroutines, files int
	defer func() {
		t.Logf("%d calls, %d WebSockets moved, %d goroutines, %d files", l.all(), moved, goroutines, files)
	}()
	const mostGoroutines, mostFiles = 60, 30
	poll.Until(t, fmt.Sprintf("at most %d goroutines and %d files", mostGoroutines, mostFiles), func() bool {
		goroutines, files = gateway.gauge("go_goroutines"), gateway.gauge("process_open_fds")
		return goroutines <= mostGoroutines && files <= mostFiles
	})
}
