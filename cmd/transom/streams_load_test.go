//go:build linux

package main

import (
	"bytes"
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
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	loadClients = flag.Int("streams-clients", 100, "how many clients of server-sent events TestStreamsLoad has")
	loadFew     = flag.Int("streams-few", 0, "how many clients another gateway has before, so that what the process takes for itself is told apart; 0 for none")
	loadRate    = flag.Int("streams-rate", 500, "how many events a second they are told, all classes together")
	loadTime    = flag.Duration("streams-time", time.Second, "for how long")
	loadBars    = flag.Bool("streams-bars", false, "hold the times and the memory, too")
	loadProgram = flag.String("streams-program", "", "the program that is measured; built here, without what it ships with, if it is empty")
)

const (
	// loadClasses are those of filters.
	loadClasses = 10
	// p99Bar and memoryBar are what -streams-bars holds.
	p99Bar    = 250 * time.Millisecond
	memoryBar = 40 << 10
)

// listeners are connections that are open, and what they have been told. A few threads read them all by epoll, as
// they share the processors with the gateway: a goroutine for each would take most of them.
type listeners struct {
	threads  [readingThreads]thread
	told     atomic.Int64
	disorder atomic.Int64
	ended    atomic.Int64
}

// listener is one of them.
type listener struct {
	body  answer
	event []byte // what has come of an event that is not whole
	next  int64  // the number that comes next in its class
	// length is that of the event before, and mark the place of its mark. With the length 0 there was none.
	length, mark int
}

// readingThreads are those that read.
const readingThreads = 2

// follow opens connections, each of which is told the events of its class, and reads them until the end of a test.
func (l *listeners) follow(t *testing.T, address string, n int) {
	t.Helper()
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	var polls [readingThreads]int
	of := make([]map[int32]*listener, readingThreads)
	for i := range polls {
		if polls[i], err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		of[i] = map[int32]*listener{}
	}
	var begun atomic.Int64
	for i := range n {
		fd, err := listen(server, address, i%loadClasses)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		of[i%readingThreads][int32(fd)] = &listener{}
		t.Cleanup(func() { _ = syscall.Close(fd) })
	}
	var reading sync.WaitGroup
	stop := make(chan struct{})
	for i, all := range of {
		for fd := range all {
			event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: fd}
			if err := syscall.EpollCtl(polls[i], syscall.EPOLL_CTL_ADD, int(fd), &event); err != nil {
				t.Fatal(err)
			}
		}
		l.threads[i].of = l
		reading.Go(func() { l.threads[i].read(polls[i], all, &begun, stop) })
	}
	t.Cleanup(func() {
		close(stop)
		reading.Wait()
		for _, p := range polls {
			_ = syscall.Close(p)
		}
	})
	poll.Until(t, "all have been told where they are", func() bool { return begun.Load() == int64(n) || l.ended.Load() > 0 })
}

// listen opens one connection.
func listen(server syscall.Sockaddr, address string, class int) (fd int, err error) {
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, server); err != nil {
		return 0, errors.Join(err, syscall.Close(fd))
	}
	request := fmt.Sprintf("GET /v1/events/user_behaviors?types=user.c%d HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", class, address)
	if _, err := syscall.Write(fd, []byte(request)); err != nil {
		return 0, errors.Join(err, syscall.Close(fd))
	}
	return fd, nil
}

// read reads connections until stop is closed. begun counts those that have been told something.
func (r *thread) read(poll int, all map[int32]*listener, begun *atomic.Int64, stop <-chan struct{}) {
	events, buffer := make([]syscall.EpollEvent, 256), make([]byte, 256<<10)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, err := syscall.EpollWait(poll, events, 100)
		if err != nil && err != syscall.EINTR {
			r.of.ended.Add(1)
			return
		}
		for _, event := range events[:max(n, 0)] {
			c := all[event.Fd]
			n, _, err := syscall.Recvfrom(int(event.Fd), buffer, syscall.MSG_DONTWAIT)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				continue
			}
			first := !c.body.begun()
			if err != nil || n <= 0 || !c.body.read(buffer[:n], func(piece []byte) { r.heard(c, piece) }) {
				r.of.ended.Add(1)
				_ = syscall.EpollCtl(poll, syscall.EPOLL_CTL_DEL, int(event.Fd), nil)
				continue
			}
			if first && c.body.begun() {
				begun.Add(1)
			}
		}
	}
}

// thread is one of those that read, and what it has counted.
type thread struct {
	of   *listeners
	late [20_000]atomic.Int64 // by milliseconds
	told int64                // since it was added to those of all
}

// eventMark stands before what an event says of itself: "SENT.NUMBER".
const eventMark = `"anonymousId":"`

// heard reads a piece of what one is told.
func (r *thread) heard(c *listener, piece []byte) {
	now := time.Now().UnixNano()
	if len(c.event) > 0 {
		n := bytes.Index(piece, []byte("\n\n"))
		switch {
		case c.event[len(c.event)-1] == '\n' && piece[0] == '\n':
			n = 1
		case n < 0:
			c.event = append(c.event, piece...)
			return
		default:
			n += 2
		}
		c.event = append(c.event, piece[:n]...)
		c.end(c.event)
		r.event(c, c.event, now)
		c.event, piece = c.event[:0], piece[n:]
	}
	for len(piece) > 0 {
		n := c.end(piece)
		if n == 0 {
			c.event = append(c.event, piece...)
			break
		}
		r.event(c, piece[:n], now)
		piece = piece[n:]
	}
	r.of.told.Add(r.told)
	r.told = 0
}

// end is where the event ends with which a piece begins; 0 for one that is not whole. Most events are as long as the one
// before, as they differ in numbers alone: then there is nothing to look for.
func (c *listener) end(piece []byte) int {
	if n := c.length; n > 0 && len(piece) >= n && piece[n-1] == '\n' && piece[n-2] == '\n' && bytes.HasPrefix(piece[c.mark:], []byte(eventMark)) {
		return n
	}
	n := bytes.Index(piece, []byte("\n\n")) + 2
	if n < 2 {
		return 0
	}
	c.length, c.mark = n, bytes.LastIndex(piece[:n], []byte(eventMark))
	if c.mark < 0 { // it tells where the client is
		c.length, c.mark = 0, n
	}
	return n
}

// event reads one event, of which c.mark says where its mark is.
func (r *thread) event(c *listener, text []byte, now int64) {
	if c.mark == len(text) {
		return
	}
	sent, rest := digits(text[c.mark+len(eventMark):], '.')
	number, _ := digits(rest, '"')
	if number != c.next {
		r.of.disorder.Add(1)
	}
	c.next = number + 1
	r.late[min(max((now-sent)/1e6, 0), int64(len(r.late)-1))].Add(1)
	r.told++
}

// digits is the number with which a text begins, and what is behind it and its end; -1 for none.
func digits(text []byte, end byte) (n int64, rest []byte) {
	for i, d := range text {
		if d == end && i > 0 {
			return n, text[i+1:]
		}
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + int64(d-'0')
	}
	return -1, nil
}

// answer reads one of HTTP/1.1 whose body ends with the connection.
type answer struct {
	line []byte // what has come of one that is not whole
	in   bool   // the body has begun
	some bool   // some of it has come
}

// begun reports whether some of the body has come.
func (a *answer) begun() bool { return a.some }

// read calls each with what has come of the body. It reports false for an answer that is no such one.
func (a *answer) read(b []byte, each func([]byte)) bool {
	for !a.in {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if a.line = append(a.line, line...); !whole {
			return true
		}
		text := strings.ToLower(strings.TrimSuffix(string(a.line), "\r"))
		a.line, b = a.line[:0], rest
		if strings.HasPrefix(text, "http/") && text != "http/1.1 200 ok" || strings.HasPrefix(text, "transfer-encoding:") {
			return false
		}
		a.in = text == ""
	}
	if len(b) > 0 {
		a.some = true
		each(b)
	}
	return true
}

// percentile is that of the times, rounded up.
func (l *listeners) percentile(share float64) time.Duration {
	left := int64(float64(l.told.Load()) * share)
	most := len(l.threads[0].late)
	for ms := range most {
		for i := range l.threads {
			left -= l.threads[i].late[ms].Load()
		}
		if left <= 0 {
			return time.Duration(ms+1) * time.Millisecond
		}
	}
	return time.Duration(most) * time.Millisecond
}

// TestStreamsLoad: Events 184: clients of server-sent events in ten classes of filters each get the events of
// their class, all of them, in order; each event is encoded once, however many get it. `make streams-load` has
// 10,000 clients, and says what each takes beyond a process that has 2,000 and the same events;
// -streams-bars holds the times and the memory, on a machine that does nothing else.
func TestStreamsLoad(t *testing.T) {
	moreFiles(t, max(*loadClients, *loadFew)+100)
	program := *loadProgram
	if program == "" {
		program = buildTransom(t)
	}
	var few streamsLoad
	if *loadFew > 0 {
		t.Run("few", func(t *testing.T) { few = loadStreams(t, program, *loadFew) }) // whose gateway ends with it
	}
	all := loadStreams(t, program, *loadClients)
	each := float64(all.loaded) / float64(all.clients)
	if few.clients > 0 && few.clients < all.clients {
		each = float64(all.loaded-few.loaded) / float64(all.clients-few.clients)
		t.Logf("beyond %d clients, each takes %.1f KiB under load", few.clients, each/1024)
	}
	if *loadBars && (all.p99 > p99Bar || each > memoryBar) {
		t.Errorf("p99 is %v and a connection takes %.1f KiB, expected at most %v and %d", all.p99, each/1024, p99Bar, memoryBar/1024)
	}
}

// streamsLoad is what a gateway took for its clients.
type streamsLoad struct {
	clients int
	p99     time.Duration
	// loaded is the memory that came to be resident, in bytes, until all had been told all.
	loaded int64
}

// loadStreams has a gateway of its own tell clients events, and checks that they were.
func loadStreams(t *testing.T, program string, clients int) streamsLoad {
	t.Helper()
	dir := folder(t, map[string]string{"transom.yaml": `data_directory: data
telemetry: { log: { access: false } }
events:
  behaviour: {}
  streams: [{ topic: user_behaviors, fields: [anonymousId] }]
`})
	gateway := startProcess(t, program, "--config", filepath.Join(dir, "transom.yaml"))
	publish(t, gateway, 0, 0) // so that all of it has begun
	pid := gateway.cmd.Process.Pid
	before, encoded := residentOf(t, pid), encodedOf(t, gateway)
	l := &listeners{}
	l.follow(t, strings.TrimPrefix(gateway.url, "http://"), clients)
	open, used, own := residentOf(t, pid), processorOf(t, pid), processorOf(t, os.Getpid())
	sent, took := publishFor(t, gateway, *loadTime)
	want := int64(sent) * int64(clients) / loadClasses
	poll.Until(t, "all have been told all", func() bool { return l.told.Load() >= want || l.ended.Load() > 0 })
	loaded := residentOf(t, pid)
	perClient := func(bytes int64) float64 { return float64(bytes-before) / float64(clients) / 1024 }
	p99, encodings := l.percentile(0.99), encodedOf(t, gateway)-encoded
	each := func(before time.Duration, pid int) time.Duration {
		return (processorOf(t, pid) - before) / time.Duration(max(l.told.Load(), 1))
	}
	load, _ := os.ReadFile("/proc/loadavg") // it is told only
	t.Logf("%d clients were told %d events in %v, %.0f a second published: p50 %v, p99 %v; %v of a processor for each, and %v of the clients'; %.1f KiB a connection at rest, %.1f under load; %d events encoded %d times; load average %s",
		clients, l.told.Load(), took.Round(time.Millisecond), float64(sent)/took.Seconds(), l.percentile(0.5), p99, each(used, pid), each(own, os.Getpid()), perClient(open), perClient(loaded), sent, encodings, bytes.TrimSpace(load))
	if l.told.Load() != want || l.disorder.Load() > 0 || l.ended.Load() > 0 {
		t.Errorf("told %d events, want %d; %d out of order; %d streams ended", l.told.Load(), want, l.disorder.Load(), l.ended.Load())
	}
	if encodings != sent {
		t.Errorf("%d events were encoded %d times", sent, encodings)
	}
	return streamsLoad{clients: clients, p99: p99, loaded: loaded - before}
}

// publishFor publishes for some time, and tells how many events that were and how long it took.
func publishFor(t *testing.T, gateway *process, most time.Duration) (sent int, took time.Duration) {
	t.Helper()
	began := time.Now()
	const tick = 10 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for time.Since(began) < most {
		<-ticker.C
		n := int(time.Since(began).Seconds()*float64(*loadRate)) - sent
		if n = min(n-n%loadClasses, 500); n > 0 {
			publish(t, gateway, sent, n)
			sent += n
		}
	}
	return sent, time.Since(began)
}

// moreFiles raises the limit of open files, of this process and of those that it starts.
func moreFiles(t *testing.T, n int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < uint64(n) { //nolint:gosec // it is a small number
		t.Fatalf("a process may have %d files open, and %d are needed: raise the hard limit (ulimit -Hn)", limit.Max, n)
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
	found := regexp.MustCompile(`(?m)^transom_event_streams_encoded_total (\S+)$`).FindStringSubmatch(body(t, gateway.admin+"/metrics"))
	if found == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(found[1], 64)
	return int(n)
}
