package attempt_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// moment is when an attempt fails.
type moment int

const (
	atOnce           moment = iota // before anything is sent
	afterHeader                    // the header was sent, no message
	afterMessage                   // one message was sent
	never                          // it waits until the call ends
	afterHeaderNever               // the header was sent, and then it waits
	released                       // it waits until scripted.release is closed, and then answers
)

// step is what the server does with one attempt.
type step struct {
	code     codes.Code
	when     moment
	pushback []string              // grpc-retry-pushback-ms
	info     *errdetails.RetryInfo // in the details
}

// scripted is a grpc-go server that does with each attempt what a script says, and with
// those behind its end what a sound server does: it sends back what it got, in one piece.
type scripted struct {
	mu       sync.Mutex
	script   []step
	previous []string    // grpc-previous-rpc-attempts of each arrival, "" for none
	at       []time.Time // of each arrival
	under    atomic.Int32
	release  chan struct{}
}

func (s *scripted) next(md metadata.MD) (step, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previous = append(s.previous, strings.Join(md["grpc-previous-rpc-attempts"], ","))
	s.at = append(s.at, time.Now())
	if len(s.script) == 0 {
		return step{}, false
	}
	next := s.script[0]
	s.script = s.script[1:]
	return next, true
}

func (s *scripted) arrivals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.previous)
}

func (s *scripted) serve(_ any, stream grpc.ServerStream) error {
	s.under.Add(1)
	defer s.under.Add(-1)
	md, _ := metadata.FromIncomingContext(stream.Context())
	todo, failing := s.next(md)
	if failing && todo.when == atOnce {
		return todo.fail(stream)
	}
	if failing && todo.when != never && todo.when != released {
		if err := stream.SendHeader(metadata.Pairs("x-attempt", "failed")); err != nil {
			return err
		}
	}
	var sum strings.Builder
	for {
		var m testpb.SimpleResponse
		if err := stream.RecvMsg(&m); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		sum.WriteString(m.GetUsername())
	}
	if failing {
		switch todo.when {
		case released:
			select {
			case <-s.release:
				return stream.SendMsg(&testpb.SimpleResponse{Username: sum.String()})
			case <-stream.Context().Done():
				return status.FromContextError(stream.Context().Err()).Err()
			}
		case never, afterHeaderNever:
			<-stream.Context().Done()
			return status.FromContextError(stream.Context().Err()).Err()
		case afterMessage:
			if err := stream.SendMsg(&testpb.SimpleResponse{Username: "first"}); err != nil {
				return err
			}
		}
		return todo.fail(stream)
	}
	_ = stream.SetHeader(metadata.Pairs("x-attempt", "sound"))
	return stream.SendMsg(&testpb.SimpleResponse{Username: sum.String()})
}

func (s step) fail(stream grpc.ServerStream) error {
	if len(s.pushback) > 0 {
		md := metadata.MD{}
		md.Set("grpc-retry-pushback-ms", s.pushback...)
		stream.SetTrailer(md)
	}
	st := status.New(s.code, "as the script says")
	if s.info != nil {
		st, _ = st.WithDetails(s.info)
	}
	return st.Err()
}

func (s *scripted) start(t testing.TB) (address string) {
	t.Helper()
	return grpctest.ServeAny(t, s.serve)
}

func backend(t testing.TB, address string, r *attempt.Retry) *attempt.GRPC {
	t.Helper()
	return attempt.NewGRPC(connect(t, address), 1<<20).Retrying(r)
}

func connect(t testing.TB, address string) *upstream.Conn {
	t.Helper()
	conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return conn
}

func triesOf(s proxy.Stream) proxy.Tries { return s.(interface{ Tries() proxy.Tries }).Tries() }

// schemes counts those that were made.
var schemes atomic.Int64

// names gives a target that is the addresses.
func names(t testing.TB, addresses ...string) string {
	t.Helper()
	r := manual.NewBuilderWithScheme(fmt.Sprint("names", schemes.Add(1)))
	var state resolver.State
	for _, a := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a})
	}
	r.InitialState(state)
	resolver.Register(r)
	return r.Scheme() + ":///whatever"
}

func message(text string) proxy.Frame {
	wire, err := proto.Marshal(&testpb.SimpleResponse{Username: text})
	if err != nil {
		panic(err)
	}
	return proxy.WrapFrame(wire)
}

func textOf(f proxy.Frame) string {
	var m testpb.SimpleResponse
	if proto.Unmarshal(f.Bytes(), &m) != nil {
		return "?"
	}
	return m.GetUsername()
}

// usual is what `retry: {}` means, with short pauses.
func usual() attempt.Retry {
	return attempt.Retry{
		Attempts: 3, Codes: []codes.Code{codes.Unavailable}, BudgetPercent: 20, Buffer: 1 << 10,
		InitialBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
	}
}

// outcome is what the client sees of a call, and what the server does.
type outcome struct {
	text     string
	code     codes.Code
	arrivals string // previous attempts of each, in words
	attempts int
	denied   string
}

// cases are attempts by kinds of calls: as the script says, to what end.
var cases = []struct {
	name   string
	script []step
	retry  func(r *attempt.Retry)
	want   outcome
	stream *outcome // of streams, where that is another one
}{
	{name: "Traffic 60: UNAVAILABLE twice", script: []step{{code: codes.Unavailable}, {code: codes.Unavailable}}, want: outcome{"x", codes.OK, "0 1 2", 3, ""}},
	{name: "Traffic 59: no more than three", script: []step{{code: codes.Unavailable}, {code: codes.Unavailable}, {code: codes.Unavailable}},
		want: outcome{"", codes.Unavailable, "0 1 2", 3, ""}},
	{name: "Traffic 61: a code that is not named", script: []step{{code: codes.Internal}}, want: outcome{"", codes.Internal, "0", 1, ""}},
	{name: "Traffic 61: one that is", script: []step{{code: codes.Internal}}, retry: func(r *attempt.Retry) { r.Codes = append(r.Codes, codes.Internal) },
		want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 64, 65: the header was there", script: []step{{code: codes.Unavailable, when: afterHeader}}, want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 64, 65: a message was there", script: []step{{code: codes.Unavailable, when: afterMessage}},
		want: outcome{"x", codes.OK, "0 1", 2, ""}, stream: &outcome{"first", codes.Unavailable, "0", 1, ""}},
	{name: "Traffic 68: an attempt that takes too long", script: []step{{when: never}}, retry: func(r *attempt.Retry) { r.PerTry = 300 * time.Millisecond },
		want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 68: all do", script: []step{{when: never}, {when: never}}, retry: func(r *attempt.Retry) { r.Attempts, r.PerTry = 2, 100*time.Millisecond },
		want: outcome{"", codes.DeadlineExceeded, "0 1", 2, ""}},
	{name: "Traffic 70: not again", script: []step{{code: codes.Unavailable, pushback: []string{"-1"}}}, want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 70: a pushback that is no number", script: []step{{code: codes.Unavailable, pushback: []string{"x"}}}, want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 70: two of them", script: []step{{code: codes.Unavailable, pushback: []string{"1", "2"}}}, want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 70: at once", script: []step{{code: codes.Unavailable, pushback: []string{"0"}}}, retry: func(r *attempt.Retry) { r.InitialBackoff, r.MaxBackoff = time.Hour, time.Hour },
		want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 70: pushback makes no code retryable", script: []step{{code: codes.Internal, pushback: []string{"0"}}}, want: outcome{"", codes.Internal, "0", 1, ""}},
	{name: "Traffic 71: above 5 s", script: []step{{code: codes.Unavailable, pushback: []string{"5001"}}}, want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 71: RetryInfo above 5 s", script: []step{{code: codes.Unavailable, info: &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)}}},
		want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 67: a pause past the deadline", script: []step{{code: codes.Unavailable}}, retry: func(r *attempt.Retry) { r.InitialBackoff, r.MaxBackoff = time.Hour, time.Hour },
		want: outcome{"", codes.Unavailable, "0", 1, "deadline"}},
}

func (s *scripted) summary() string {
	words := s.arrivals()
	for i, w := range words {
		if w == "" {
			words[i] = "0"
		}
	}
	return strings.Join(words, " ")
}

// TestRetry compares unary calls and streams with the table: Traffic 59, 60, 61, 64, 65, 67, 68, 70, 71.
func TestRetry(t *testing.T) {
	for _, test := range cases {
		r := usual()
		if test.retry != nil {
			test.retry(&r)
		}
		want := test.want
		t.Run("unary: "+test.name, func(t *testing.T) {
			server := &scripted{script: slices.Clone(test.script)}
			var got outcome
			g := backend(t, server.start(t), &r)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			reply, err := g.Call(ctx, "/test.Test/Unary", proxy.Metadata{"x-a", "b"}, message("x"))
			got.text, got.code, got.attempts, got.arrivals = textOf(reply.Message), status.Code(err), reply.Tries.Attempts, server.summary()
			got.denied = reply.Tries.Denied
			if reply.Message.Free(); got != want {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, want)
			}
			if err == nil && (len(reply.Header["x-attempt"]) != 1 || reply.Header["x-attempt"][0] != "sound") {
				t.Errorf("the header is %v, want that of the last attempt alone", reply.Header)
			}
		})
		if test.stream != nil {
			want = *test.stream
		}
		t.Run("stream: "+test.name, func(t *testing.T) {
			server := &scripted{script: slices.Clone(test.script)}
			var got outcome
			g := backend(t, server.start(t), &r)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			stream, err := g.Open(ctx, "/test.Test/Stream", proxy.Metadata{"x-a", "b"}, proxy.Shape{ServerStreams: true})
			if err == nil {
				if err = stream.Send(message("x")); err == nil {
					err = stream.CloseSend()
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err = stream.Header(); err == nil {
				var f proxy.Frame
				for f, err = stream.Recv(); err == nil; f, err = stream.Recv() {
					got.text += textOf(f)
					f.Free()
				}
			}
			if err == io.EOF {
				err = nil
			}
			got.code, got.arrivals, got.attempts = status.Code(err), server.summary(), triesOf(stream).Attempts
			if got.denied = triesOf(stream).Denied; got != want {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, want)
			}
		})
	}
}

// TestRetryKeepsMessages: Traffic 66: the messages of a client's stream are kept for
// another attempt, within bounds; beyond them the call goes on without one.
func TestRetryKeepsMessages(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes []int
		want  outcome
	}{
		{"three messages", []int{5, 0, 100}, outcome{"", codes.OK, "0 1", 2, ""}},
		{"more than the buffer", []int{60 << 10, 60 << 10}, outcome{"", codes.Unavailable, "0", 1, "buffer"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &scripted{script: []step{{code: codes.Unavailable, when: afterHeader}}}
			var got outcome
			r := usual()
			g := backend(t, server.start(t), &r)
			stream, err := g.Open(t.Context(), "/test.Test/Stream", nil, proxy.Shape{ClientStreams: true, ServerStreams: true})
			if err != nil {
				t.Fatal(err)
			}
			var sent strings.Builder
			for _, size := range test.sizes {
				text := strings.Repeat("m", size)
				sent.WriteString(text)
				if err := stream.Send(message(text)); err != nil {
					t.Fatal(err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			f, err := stream.Recv()
			text := textOf(f)
			f.Free()
			got.code, got.arrivals, got.attempts = status.Code(err), server.summary(), triesOf(stream).Attempts
			if got.denied = triesOf(stream).Denied; got != test.want {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, test.want)
			}
			if err == nil && text != sent.String() {
				t.Errorf("%d bytes arrived, want %d", len(text), sent.Len())
			}
			if n := attempt.KeptInAll(); n != 0 {
				t.Errorf("%d bytes are kept after the call", n)
			}
		})
	}
}

// TestRetryElsewhere: Traffic 73: with three servers, three attempts reach three.
func TestRetryElsewhere(t *testing.T) {
	var servers []*scripted
	var addresses []string
	for range 3 {
		s := &scripted{script: slices.Repeat([]step{{code: codes.Unavailable}}, 100)}
		servers = append(servers, s)
		addresses = append(addresses, s.start(t))
	}
	target := names(t, addresses...)
	r := usual()
	r.BudgetPercent = 100
	conn := connect(t, target)
	g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
	poll.Until(t, "three connections", func() bool {
		for _, s := range servers {
			if len(s.arrivals()) == 0 {
				reply, _ := attempt.NewGRPC(conn, 1<<20).Call(t.Context(), "/test.Test/Unary", nil, message("x"))
				reply.Message.Free()
				return false
			}
		}
		return true
	})
	for range 20 {
		var before []int
		for _, s := range servers {
			before = append(before, len(s.arrivals()))
		}
		_, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
		if status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		for i, s := range servers {
			if n := len(s.arrivals()) - before[i]; n != 1 {
				t.Errorf("server %d had %d attempts of a call, want 1", i, n)
			}
		}
	}
}

// TestRetryBudget: Traffic 75: while a backend answers no call, it gets a fifth more of
// them, and what is in reserve.
func TestRetryBudget(t *testing.T) {
	const calls = 2000
	server := &scripted{script: slices.Repeat([]step{{code: codes.Unavailable}}, 3*calls)}
	r := usual()
	r.InitialBackoff, r.MaxBackoff = 1, 1
	var denied atomic.Int64
	g := backend(t, server.start(t), &r)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range calls / 8 {
				reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
				if status.Code(err) != codes.Unavailable {
					t.Error(err)
				}
				if reply.Tries.Denied == "budget" {
					denied.Add(1)
				}
			}
		})
	}
	work.Wait()
	// By a slow machine's clock the calls take longer than the window: 100 in reserve
	// for each of them.
	windows := 1 + int(time.Since(server.at[0])/(10*time.Second))
	if n := len(server.arrivals()); n > calls*120/100+100*windows || n <= calls || denied.Load() == 0 {
		t.Errorf("%d arrivals for %d calls, %d denied", n, calls, denied.Load())
	}
}
