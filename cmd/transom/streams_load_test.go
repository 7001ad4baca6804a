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
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	loadClients = flag.Int("streams-clients", 100, "how many clients of server-sent events TestStreamsLoad has")
	loadRate    = flag.Int("streams-rate", 500, "how many events a second they are told, all classes together")
	loadTime    = flag.Duration("streams-time", time.Second, "for how long")
	loadBars    = flag.Bool("streams-bars", false, "hold the times and the memory, too")
)

const (
	// loadClasses are those of filters.
	loadClasses = 10
	// p99Bar and memoryBar are what -streams-bars holds.
	p99Bar    = 250 * time.Millisecond
	memoryBar = 40 << 10
)

// listeners are connections that are open, and what they have been told.
type listeners struct {
	late     [20_000]atomic.Int64 // by milliseconds
	told     atomic.Int64
	disorder atomic.Int64
	ended    atomic.Int64
}

// open makes one, which is told the events of a class.
func (l *listeners) open(ctx context.Context, address string, class int) (read func(), close func() error, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	_, err = fmt.Fprintf(conn, "GET /v1/events/user_behaviors?types=user.c%d HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", class, address)
	if err != nil {
		return nil, nil, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 2<<10), nil)
	if err != nil {
		return nil, nil, err
	}
	body := bufio.NewReaderSize(response.Body, 2<<10)
	if first, err := body.ReadString('\n'); err != nil || response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %q: %w", response.Status, first, err)
	}
	return func() { l.follow(body) }, conn.Close, nil
}

// follow reads what one is told: "anonymousId":"SENT.NUMBER".
func (l *listeners) follow(body *bufio.Reader) {
	defer l.ended.Add(1)
	next := int64(0)
	for {
		line, err := body.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		_, rest, ok := bytes.Cut(line, []byte(`"anonymousId":"`))
		if !ok {
			continue
		}
		id, _, _ := bytes.Cut(rest, []byte(`"`))
		at, number, _ := strings.Cut(string(id), ".")
		sent, _ := strconv.ParseInt(at, 10, 64)
		if n, err := strconv.ParseInt(number, 10, 64); err != nil || n != next {
			l.disorder.Add(1)
		}
		next++
		took := (time.Now().UnixNano() - sent) / 1e6
		l.late[min(max(took, 0), int64(len(l.late)-1))].Add(1)
		l.told.Add(1)
	}
}

// percentile is that of the times, rounded up.
func (l *listeners) percentile(share float64) time.Duration {
	left := int64(float64(l.told.Load()) * share)
	for ms := range l.late {
		if left -= l.late[ms].Load(); left <= 0 {
			return time.Duration(ms+1) * time.Millisecond
		}
	}
	return time.Duration(len(l.late)) * time.Millisecond
}

// TestStreamsLoad: Events 184: clients of server-sent events in ten classes of filters each get the events of
// their class, all of them, in order; each event is encoded once, however many get it. `make streams-load` has
// 10,000 clients; -streams-bars holds the times and the memory, on a machine that does nothing else.
func TestStreamsLoad(t *testing.T) {
	moreFiles(t, *loadClients+100)
	dir := folder(t, map[string]string{"transom.yaml": `data_directory: data
telemetry: { log: { access: false } }
events:
  behaviour: {}
  streams: [{ topic: user_behaviors, fields: [anonymousId] }]
`})
	gateway := startProcess(t, buildTransom(t), "--config", filepath.Join(dir, "transom.yaml"))
	publish(t, gateway, 0, 0) // so that all of it has begun
	before, encoded := residentOf(t, gateway.cmd.Process.Pid), encodedOf(t, gateway)
	l := &listeners{}
	var reading sync.WaitGroup
	for i := range *loadClients {
		read, end, err := l.open(t.Context(), strings.TrimPrefix(gateway.url, "http://"), i%loadClasses)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		defer func() { _ = end() }()
		reading.Go(read)
	}
	open, used := residentOf(t, gateway.cmd.Process.Pid), processorOf(t, gateway.cmd.Process.Pid)
	began := time.Now()
	sent := 0
	const tick = 10 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for time.Since(began) < *loadTime {
		<-ticker.C
		n := int(time.Since(began).Seconds()*float64(*loadRate)) - sent
		if n = min(n-n%loadClasses, 500); n > 0 {
			publish(t, gateway, sent, n)
			sent += n
		}
	}
	took := time.Since(began)
	want := int64(sent) * int64(*loadClients) / loadClasses
	poll.Until(t, "all have been told all", func() bool { return l.told.Load() >= want || l.ended.Load() > 0 })
	loaded := residentOf(t, gateway.cmd.Process.Pid)
	perClient := func(bytes int64) float64 { return float64(bytes-before) / float64(*loadClients) / 1024 }
	p99, encodings := l.percentile(0.99), encodedOf(t, gateway)-encoded
	each := (processorOf(t, gateway.cmd.Process.Pid) - used) / time.Duration(max(l.told.Load(), 1))
	t.Logf("%d clients were told %d events in %v, %.0f a second published: p50 %v, p99 %v; %v of a processor for each; %.1f KiB a connection at rest, %.1f under load; %d events encoded %d times",
		*loadClients, l.told.Load(), took.Round(time.Millisecond), float64(sent)/took.Seconds(), l.percentile(0.5), p99, each, perClient(open), perClient(loaded), sent, encodings)
	if l.told.Load() != want || l.disorder.Load() > 0 || l.ended.Load() > 0 {
		t.Errorf("told %d events, want %d; %d out of order; %d streams ended", l.told.Load(), want, l.disorder.Load(), l.ended.Load())
	}
	if encodings != sent {
		t.Errorf("%d events were encoded %d times", sent, encodings)
	}
	if *loadBars && (p99 > p99Bar || perClient(loaded) > memoryBar/1024) {
		t.Errorf("p99 is %v and a connection takes %.1f KiB, expected at most %v and %d", p99, perClient(loaded), p99Bar, memoryBar/1024)
	}
}

// moreFiles raises the limit of open files, of this process and of those that it starts.
func moreFiles(t *testing.T, n int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < uint64(n) { //nolint:gosec // it is a small number
		t.Fatalf("a process may have %d files open, and %d clients need %d: raise the hard limit (ulimit -Hn)", limit.Max, *loadClients, n)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// publish publishes events in turn to all classes. They have numbers within their class.
func publish(t *testing.T, gateway *process, from, n int) {
	t.Helper()
	body := []byte(`{"events":[`)
	for i := from; i < from+n; i++ {
		if i > from {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"type":"user.c%d","anonymousId":"%d.%d"}`, i%loadClasses, time.Now().UnixNano(), i/loadClasses)
	}
	if n == 0 {
		body = append(body, `{"type":"user.first"}`...)
	}
	response, err := http.Post(gateway.url+"/v1/events:batch", "application/json", bytes.NewReader(append(body, `]}`...)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if said, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || bytes.Contains(said, []byte("index")) {
		t.Fatalf("%v %s %s", err, response.Status, said)
	}
}

// residentOf is what of a process is in memory.
func residentOf(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no VmRSS in\n%s", text)
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return n << 10
}

// processorOf is how long a process has had a processor: what others do on the machine does not count.
func processorOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // behind the name, from the state on
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ
}

// encodedOf is how many events were encoded for clients.
func encodedOf(t *testing.T, gateway *process) int {
	t.Helper()
	response, err := http.Get(gateway.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^transom_event_streams_encoded_total (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(string(found[1]), 64)
	return int(n)
}
