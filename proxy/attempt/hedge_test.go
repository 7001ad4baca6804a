package attempt_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// connectAll connects to so many servers that share a script.
func connectAll(t testing.TB, server *scripted, n int) *upstream.Conn {
	t.Helper()
	var addresses []string
	for range n {
		addresses = append(addresses, server.start(t))
	}
	conn := connect(t, names(t, addresses...))
	poll.Until(t, "all endpoints to be connected", func() bool {
		return conn.State() == connectivity.Ready && conn.Ready() == n
	})
	return conn
}

// hedgeCases are attempts beside others, of a unary call and of a stream.
var hedgeCases = []struct {
	name    string
	servers int
	script  []step
	after   time.Duration
	retry   func(r *attempt.Retry)
	want    outcome
	hedged  int
}{
	{name: "Traffic 77: the second answers first", servers: 2, script: []step{{when: never}}, after: 20 * time.Millisecond,
		retry: func(r *attempt.Retry) { r.Attempts = 2 },
		want:  outcome{"x", codes.OK, "0 1", 2, ""}, hedged: 1},
	{name: "Traffic 77: as many as there are attempts", servers: 3, script: []step{{when: never}, {when: never}}, after: 20 * time.Millisecond,
		want: outcome{"x", codes.OK, "0 1 2", 3, ""}, hedged: 2},
	{name: "Traffic 77: not where one endpoint is all there is", servers: 1, script: []step{{when: never}}, after: 20 * time.Millisecond,
		retry: func(r *attempt.Retry) { r.Attempts, r.PerTry = 2, 300*time.Millisecond },
		want:  outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 77: a code that is retried sends the next at once", servers: 2, script: []step{{code: codes.Unavailable}}, after: time.Hour,
		want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 77: any other ends the call", servers: 2, script: []step{{when: never}, {code: codes.Internal}}, after: 20 * time.Millisecond,
		retry: func(r *attempt.Retry) { r.Attempts = 2 },
		want:  outcome{"", codes.Internal, "0 1", 2, ""}, hedged: 1},
	{name: "Traffic 77: the last status", servers: 2, script: []step{{code: codes.Unavailable}, {code: codes.Unavailable}}, after: time.Hour,
		retry: func(r *attempt.Retry) { r.Attempts = 2 },
		want:  outcome{"", codes.Unavailable, "0 1", 2, ""}},
	{name: "Traffic 77: pushback −1 stops", servers: 2, script: []step{{code: codes.Unavailable, pushback: []string{"-1"}}}, after: time.Hour,
		want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 77: pushback is the pause", servers: 2, script: []step{{code: codes.Unavailable, pushback: []string{"1"}}}, after: time.Hour,
		want: outcome{"x", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 68: an attempt that takes too long", servers: 2, script: []step{{when: never}}, after: time.Hour,
		retry: func(r *attempt.Retry) { r.PerTry = 300 * time.Millisecond },
		want:  outcome{"x", codes.OK, "0 1", 2, ""}},
}

// TestHedge: Traffic 77: attempts beside those that are not answered.
func TestHedge(t *testing.T) {
	for _, test := range hedgeCases {
		r := usual()
		r.Hedge = &attempt.Hedge{After: test.after}
		if test.retry != nil {
			test.retry(&r)
		}
		for kind, call := range map[string]func(context.Context, *attempt.GRPC) (outcome, proxy.Tries, error){"unary": callUnary, "stream": callStream} {
			t.Run(kind+": "+test.name, func(t *testing.T) {
				server := &scripted{script: slices.Clone(test.script)}
				g := attempt.NewGRPC(connectAll(t, server, test.servers), 1<<20).Retrying(&r)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				got, tries, err := call(ctx, g)
				arrivals := strings.Fields(server.summary())
				slices.Sort(arrivals) // that of an attempt beside another may be the first
				got.arrivals, got.attempts, got.denied = strings.Join(arrivals, " "), tries.Attempts, tries.Denied
				if got != test.want || tries.Hedged != test.hedged {
					t.Errorf("got  %+v, %d hedged (%v)\nwant %+v, %d", got, tries.Hedged, err, test.want, test.hedged)
				}
				poll.Until(t, "attempts that lost to be cancelled", func() bool { return server.under.Load() == 0 })
			})
		}
	}
}

func callUnary(ctx context.Context, g *attempt.GRPC) (got outcome, _ proxy.Tries, _ error) {
	reply, err := g.Call(ctx, "/test.Test/Unary", proxy.Metadata{"x-a", "b"}, message("x"))
	got.text, got.code = textOf(reply.Message), status.Code(err)
	reply.Message.Free()
	return got, reply.Tries, err
}

func callStream(ctx context.Context, g *attempt.GRPC) (got outcome, _ proxy.Tries, _ error) {
	stream, err := g.Open(ctx, "/test.Test/Stream", proxy.Metadata{"x-a", "b"}, proxy.Shape{ServerStreams: true})
	if err != nil {
		return got, proxy.Tries{}, err
	}
	if err = stream.Send(message("x")); err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		_, err = stream.Header()
	}
	for err == nil {
		var f proxy.Frame
		f, err = stream.Recv()
		got.text += textOf(f)
		f.Free()
	}
	if err == io.EOF {
		err = nil
	}
	got.code = status.Code(err)
	return got, triesOf(stream), err
}

// TestHedgedStreamCommits: Traffic 77: a stream that has sent its header and is silent
// has begun, and no attempt is made beside it any more.
func TestHedgedStreamCommits(t *testing.T) {
	server := &scripted{script: []step{{when: afterHeaderNever}}}
	r := usual()
	r.Hedge = &attempt.Hedge{After: 300 * time.Millisecond}
	g := attempt.NewGRPC(connectAll(t, server, 2), 1<<20).Retrying(&r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := g.Open(ctx, "/test.Test/Stream", nil, proxy.Shape{ServerStreams: true})
	if err != nil {
		t.Fatal(err)
	}
	if stream.Send(message("x")) != nil || stream.CloseSend() != nil {
		t.Fatal("not sent")
	}
	header, err := stream.Header()
	if err != nil || len(header["x-attempt"]) != 1 {
		t.Errorf("%v %v", header, err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
	if n := len(server.arrivals()); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// TestHedgePercentile: Traffic 78: the delay is the method's own, once it is known.
func TestHedgePercentile(t *testing.T) {
	server := new(scripted)
	r := usual()
	r.Hedge = &attempt.Hedge{Percentile: 95, Latency: new(attempt.Latency)}
	g := attempt.NewGRPC(connectAll(t, server, 2), 1<<20).Retrying(&r)
	for range 100 {
		if got, _, err := callUnary(t.Context(), g); got.text != "x" {
			t.Fatal(err)
		}
	}
	// The quantile is that of the last second.
	poll.Until(t, "the delay to be known", func() bool { return r.Hedge.Latency.Quantile(95) > 0 })
	server.mu.Lock()
	server.script = []step{{when: never}}
	server.mu.Unlock()
	got, tries, err := callUnary(t.Context(), g)
	if got.text != "x" || tries.Hedged != 1 {
		t.Errorf("%+v %+v %v", got, tries, err)
	}
}

// TestLatency: Traffic 78: a quantile of the last minute, of a hundred attempts at least.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l attempt.Latency
		check := func(when string, percent uint32, least, most time.Duration) {
			t.Helper()
			time.Sleep(time.Second)
			if got := l.Quantile(percent); got < least || got > most {
				t.Errorf("%s: %d %%: %v, want %v to %v", when, percent, got, least, most)
			}
		}
		for range 99 {
			l.Record(time.Millisecond)
		}
		check("99 samples", 95, 0, 0)
		l.Record(time.Millisecond)
		check("100 samples", 95, time.Millisecond, 1200*time.Microsecond)
		for range 20 {
			l.Record(time.Second)
		}
		check("a sixth is slow", 80, time.Millisecond, 1200*time.Microsecond)
		check("a sixth is slow", 95, time.Second, 1200*time.Millisecond)
		time.Sleep(70 * time.Second)
		check("a minute later", 95, 0, 0)
		for range 200 {
			l.Record(time.Hour)
			l.Record(0)
		}
		check("the longest and the shortest", 50, time.Microsecond, 2*time.Microsecond)
		check("the longest and the shortest", 99, time.Minute, 3*time.Minute)
	})
}
