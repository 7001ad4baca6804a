package upstream_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// counted counts the connections that a listener takes.
type counted struct {
	net.Listener
	taken atomic.Int32
}

func (l *counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.taken.Add(1)
	}
	return conn, err
}

func listenCounted(t *testing.T) *counted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &counted{Listener: l}
}

// TestGrowth: Traffic 169: 500 streams against a limit of 100 all run, on at most seven
// connections; those beyond the first are closed when they have not been needed for a
// minute.
func TestGrowth(t *testing.T) {
	l := listenCounted(t)
	s := startOn(t, l, grpc.MaxConcurrentStreams(100))
	var log logtext.Text
	conn, err := upstream.NewPool(slog.New(slog.NewJSONHandler(&log, nil))).Get(upstream.Target{Address: s.address})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const streams = 500
	client := testpb.NewTestServiceClient(attempt.NewClient(conn))
	ended := openStreams(t, s, client, streams)
	// Five have room for all; as they are full, there is one more.
	poll.Until(t, "six connections", func() bool { return upstream.Connections(conn) >= 6 })
	if n := l.taken.Load(); n > 7 {
		t.Errorf("%d connections, want at most 7", n)
	}
	if strings.Contains(log.String(), "calls wait") {
		t.Errorf("the log complains of calls that wait while a connection is made: %s", log.String())
	}
	before := upstream.Connections(conn)
	if upstream.Narrow(conn, 59*time.Second); upstream.Connections(conn) != before {
		t.Error("connections were closed that are needed")
	}
	if upstream.Narrow(conn, time.Hour); upstream.Connections(conn) < 6 {
		t.Errorf("%d connections are left for %d streams", upstream.Connections(conn), streams)
	}
	close(s.hold)
	for range streams {
		if err := <-ended; err != io.EOF {
			t.Fatal(err)
		}
	}
	poll.Until(t, "the connections beyond the first to be closed", func() bool {
		upstream.Narrow(conn, 2*time.Hour)
		return upstream.Connections(conn) == 1
	})
	if _, _, err := ask(t, conn); err != nil {
		t.Error(err)
	}
}

// openStreams opens n streams that s holds, and waits until all have begun. What ends
// each is sent to ended.
func openStreams(t *testing.T, s *server, client testpb.TestServiceClient, n int) (ended chan error) {
	t.Helper()
	ended = make(chan error, n)
	for range n {
		go func() {
			stream, err := client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			ended <- err
		}()
	}
	for range n {
		select {
		case <-s.begun:
		case err := <-ended:
			t.Fatal("a stream has ended before all had begun:", err)
		}
	}
	return ended
}

// TestGrowthUnderWaiters: Traffic 169: connections that calls fill as soon as they are there
// are followed by others, too.
func TestGrowthUnderWaiters(t *testing.T) {
	const streams = 6
	for range 20 {
		s := startOn(t, listenCounted(t), grpc.MaxConcurrentStreams(1))
		client := testpb.NewTestServiceClient(attempt.NewClient(get(t, upstream.Target{Address: s.address})))
		ended := openStreams(t, s, client, streams)
		close(s.hold)
		for range streams {
			if err := <-ended; err != io.EOF {
				t.Error(err)
			}
		}
	}
}

// TestGrowthBound: Traffic 169: there are no more connections than max_connections.
func TestGrowthBound(t *testing.T) {
	l := listenCounted(t)
	s := startOn(t, l, grpc.MaxConcurrentStreams(1))
	conn := get(t, upstream.Target{Address: s.address, MaxConnections: 3})
	client := testpb.NewTestServiceClient(attempt.NewClient(conn))
	for range 3 {
		if _, err := client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		<-s.begun
	}
	answered := make(chan error)
	go func() {
		_, _, err := ask(t, conn)
		answered <- err
	}()
	poll.Until(t, "a call that waits", func() bool { n, _, _ := conn.Waiting(); return n == 1 })
	if n := l.taken.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	close(s.hold)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestRenewal: Traffic 170: connections are replaced as they come of age; calls and a stream
// that is open meanwhile notice nothing.
func TestRenewal(t *testing.T) {
	l := listenCounted(t)
	s := startOn(t, l)
	conn := get(t, upstream.Target{Address: s.address, MaxConnectionAge: 30 * time.Millisecond})
	stream, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-s.begun
	load := startLoad(t, conn)
	poll.Until(t, "five connections", func() bool { return l.taken.Load() >= 5 })
	load.stop(t)
	close(s.hold)
	for err == nil {
		_, err = stream.Recv()
	}
	if err != io.EOF {
		t.Error("the stream:", err)
	}
}

// TestRollingRestart: Traffic 171: ten servers of grpc-go are restarted one after the other, and
// no call fails.
func TestRollingRestart(t *testing.T) {
	var servers []*server
	var addresses []string
	for range 10 {
		s := startOn(t, loopback.Listen(t))
		servers = append(servers, s)
		addresses = append(addresses, s.address)
	}
	_, target := names(t, addresses...)
	conn := get(t, upstream.Target{Address: target})
	all := func() bool { return upstream.Connections(conn) == len(servers) }
	poll.Until(t, "all servers to be connected", all)
	load := startLoad(t, conn)
	for _, s := range servers {
		before := load.made.Load()
		poll.Until(t, "some calls", func() bool { return load.made.Load() > before+50 })
		s.GracefulStop()
		start(t, "tcp", s.address)
		poll.Until(t, "all servers to be connected again", all)
	}
	load.stop(t)
}

// load makes calls until it is stopped.
type load struct {
	made   atomic.Int64
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	failed []error
}

func startLoad(t *testing.T, conn *upstream.Conn) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	client := testpb.NewTestServiceClient(attempt.NewClient(conn))
	for range 8 {
		l.work.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err)
					l.mu.Unlock()
				}
				l.made.Add(1)
			}
		})
	}
	return l
}

// stop ends the load, and holds that none of its calls has failed.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.work.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d calls have failed, such as with %v", len(l.failed), l.made.Load(), l.failed[0])
	}
}
