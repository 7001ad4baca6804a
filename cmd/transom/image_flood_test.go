//go:build image

package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	floodSockets  = flag.Int("flood-sockets", 10_000, "WebSockets of the flood")
	floodRecovery = flag.Duration("flood-recovery", 0, "how long after the flood everybody must be served; 0 for any time")
)

// TestFloodInContainer: Traffic 200: in a container of 256 MiB, bodies and WebSockets that take far more do
// not have the kernel kill the process, in whatever order they come; the operator is served meanwhile, and
// everybody soon after.
func TestFloodInContainer(t *testing.T) {
	all := buildImages(t)
	image, root := all.build(t, "gateway")
	for name, order := range map[string]floodOrder{
		"BodiesFirst": {}, "WebSocketsFirst": {sockets: true}, "WebSocketsFirstBodiesOnOpenConnections": {sockets: true, connected: true},
	} {
		t.Run(name, func(t *testing.T) { floodContainer(t, image, root, order) })
	}
}

// floodOrder is the order of a flood.
type floodOrder struct {
	sockets   bool // WebSockets first, until one is open
	connected bool // the connections of the bodies were open before
}

func floodContainer(t *testing.T, image imageConfig, root string, order floodOrder) {
	const limit, clients, size = 256 << 20, 400, 1 << 20
	release := make(chan struct{})
	address := startRaw(t, func(_ any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Watch") {
			<-stream.Context().Done()
			return nil
		}
		var body []byte
		if err := stream.RecvMsg(&body); err != nil {
			return err
		}
		if len(body) < size { // one that is to be answered at once
			return status.Error(codes.NotFound, "there is no such thing")
		}
		select {
		case <-release:
		case <-stream.Context().Done():
		}
		return status.Error(codes.NotFound, "there is no such thing")
	})
	protos := folder(t, map[string]string{"things.proto": `syntax = "proto3";
package things.v1;
import "google/api/annotations.proto";
service Things {
  rpc Put(Thing) returns (Thing) { option (google.api.http) = { post: "/v1/things" body: "*" }; }
  rpc Watch(stream Thing) returns (stream Thing) { option (google.api.http) = { get: "/v1/things" }; }
}
message Thing { string text = 1; }`})
	contained, run := container{
		image: image, root: root, network: "host", memory: limit, mounts: map[string]string{"/protos": protos},
		command: []string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "/protos", "--upstream", address},
	}.prepare(t, "flood")
	p := startCmd(t, run)
	contained.find(t)
	group := memoryOf(t, contained.pid)

	ctx, over := context.WithCancel(t.Context())
	defer over()
	keeping := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer keeping.CloseIdleConnections()
	f := &flood{t: t, url: p.url, client: keeping, body: []byte(`{"text":"` + strings.Repeat("x", size) + `"}`), bodies: map[int]int{}, sockets: map[int]int{}}
	if order.connected {
		f.connect(clients)
	}
	watch := func() {
		for range *floodSockets {
			f.running.Go(func() { f.watch(ctx) })
		}
	}
	if order.sockets {
		watch()
		poll.Until(t, "the first WebSocket", func() bool { return f.opened.Load() > 0 })
	}
	for range clients {
		f.running.Go(func() {
			for ctx.Err() == nil {
				f.put(ctx)
			}
		})
	}
	if !order.sockets {
		watch()
	}
	// Calls on connections that are open are refused; others wait to be accepted, for as long as the memory
	// is short or WebSockets are all that may be open.
	waiting := func() bool {
		_, metrics := get(t, p.admin+"/metrics")
		return strings.Contains(metrics, "transom_overload_stage 2\n") || strings.Contains(metrics, "transom_overload_stage 3\n")
	}
	if !poll.Within(time.Minute, func() bool {
		return f.asked.Load() == int64(*floodSockets) && (f.refused.Load() > 0 || order.sockets && !order.connected || !order.sockets && waiting())
	}) {
		t.Fatalf("%d of %d WebSockets have been asked for and %d answered, and %d calls refused", f.asked.Load(), *floodSockets, f.answered.Load(), f.refused.Load())
	}
	const questions = 500 // of the operator, while it goes on
	for range questions {
		if code, got := get(t, p.admin+"/readyz"); code != http.StatusOK || got != "ready\n" {
			t.Fatalf("the admin listener says %d %q", code, got)
		}
	}
	short := waiting()
	if f.answered.Load() == 0 && !short {
		t.Error("no WebSocket was answered, though connections are accepted")
	}
	close(release)
	over()
	f.running.Wait()
	ended := time.Now()

	again := &flood{t: t, url: p.url, body: []byte(`{"text":"x"}`)}
	const served = 20
	poll.Until(t, "all to be served again", func() bool {
		for range served {
			if again.put(t.Context()) != http.StatusNotFound || !again.opens(t.Context()) {
				return false
			}
		}
		return true
	})
	took := time.Since(ended)
	poll.Until(t, "the end of all stages", func() bool {
		_, metrics := get(t, p.admin+"/metrics")
		return strings.Contains(metrics, "transom_overload_stage 0\n")
	})
	kills, most := group.killed(t), group.most(t)
	t.Logf("in %d MiB: bodies of 1 MiB by status: %v; WebSockets by status: %v (0: waiting, or cut); at most %d MiB; %d killed; served %s after the flood",
		limit>>20, f.bodies, f.sockets, most>>20, kills, took.Round(time.Millisecond))
	if kills != 0 {
		t.Errorf("the kernel killed %d processes", kills)
	}
	if order.sockets && f.answered.Load() == 0 || (order.connected || !order.sockets && !short) && f.bodies[http.StatusServiceUnavailable] == 0 {
		t.Errorf("bodies by status: %v, WebSockets by status: %v: want some WebSockets answered that came first, and some bodies refused that did, or on connections that are open", f.bodies, f.sockets)
	}
	if *floodRecovery > 0 && took > *floodRecovery {
		t.Errorf("all were served %s after the flood, want %s", took, *floodRecovery)
	}
}

// flood is made of bodies and WebSockets.
type flood struct {
	t        testing.TB
	url      string
	client   http.Client
	body     []byte
	running  sync.WaitGroup
	asked    atomic.Int64 // WebSockets
	refused  atomic.Int64 // bodies
	opened   atomic.Int64 // WebSockets
	answered atomic.Int64 // WebSockets, opened and refused ones

	mu              sync.Mutex
	bodies, sockets map[int]int // by status
}

// put sends a body, and returns the answer's status; 0 where it was cut.
func (f *flood) put(ctx context.Context) (got int) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.bodies != nil {
			f.bodies[got]++
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/v1/things", bytes.NewReader(f.body))
	if err != nil {
		f.t.Error(err)
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := f.client.Do(request)
	if err != nil {
		f.refused.Add(1)
		return 0 // refused before the body was sent, and cut
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body) // the status says it
	if answer.StatusCode == http.StatusServiceUnavailable {
		f.refused.Add(1)
	}
	return answer.StatusCode
}

// connect has the client open as many connections, which it keeps.
func (f *flood) connect(n int) {
	small := &flood{t: f.t, url: f.url, client: f.client, body: []byte(`{"text":"x"}`)}
	for range n {
		f.running.Go(func() { small.put(f.t.Context()) })
	}
	f.running.Wait()
}

// open opens a WebSocket; c is nil where there is no answer before the end of ctx.
func (f *flood) open(ctx context.Context, asked func()) (net.Conn, int) {
	asked()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		return nil, 0
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	_, _ = io.WriteString(c, "GET /v1/things HTTP/1.1\r\nHost: things\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n") // the answer is looked at
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil || !stop() {
		_ = c.Close()
		return nil, 0
	}
	_ = answer.Body.Close() // there is none, or it is not read
	return c, answer.StatusCode
}

// watch holds a WebSocket until the end of ctx.
func (f *flood) watch(ctx context.Context) {
	c, code := f.open(ctx, func() { f.asked.Add(1) })
	f.mu.Lock()
	f.sockets[code]++
	f.mu.Unlock()
	if code == http.StatusSwitchingProtocols {
		f.opened.Add(1)
	}
	if code != 0 {
		f.answered.Add(1)
	}
	if c == nil {
		return
	}
	<-ctx.Done()
	_ = c.Close() // without a word, as clients go that are gone
}

// opens reports whether a WebSocket can be opened.
func (f *flood) opens(ctx context.Context) bool {
	c, code := f.open(ctx, func() {})
	if c != nil {
		_ = c.Close()
	}
	return code == http.StatusSwitchingProtocols
}

// memoryGroup is the cgroup that counts a process's memory, of version 1 or 2.
type memoryGroup struct {
	dir, kills, peak string
}

// memoryOf finds the cgroup of a process.
func memoryOf(t *testing.T, pid int) memoryGroup {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if fields[1] == "memory" {
			return memoryGroup{filepath.Join("/sys/fs/cgroup/memory", fields[2]), "memory.oom_control", "memory.max_usage_in_bytes"}
		}
	}
	_, path, ok := strings.Cut(string(text), "0::")
	if !ok {
		t.Fatalf("no cgroup counts the memory:\n%s", text)
	}
	return memoryGroup{filepath.Join("/sys/fs/cgroup", strings.TrimSpace(path)), "memory.events", "memory.peak"}
}

// killed is how many processes of the group the kernel has killed for want of memory.
func (g memoryGroup) killed(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, g.kills))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut("\n"+string(text), "\noom_kill ")
	n, err := strconv.Atoi(strings.SplitN(after, "\n", 2)[0])
	if !ok || err != nil {
		t.Fatalf("%s says %q", g.kills, text)
	}
	return n
}

// most is the most memory that the group has had, in bytes, that of pages of files too.
func (g memoryGroup) most(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, g.peak))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
