package attempt_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
)

// grpcgoRetries are cases of grpc-go's own test/retry_test.go, for a bidirectional stream
// that may be called again: what the client does, in order, what the server does with each
// attempt, and what the client then has.
var grpcgoRetries = []struct {
	name   string
	script []step
	client string // "s" sends a message, "L" a large one, "c" ends its side
	want   outcome
}{
	{name: "Traffic 61: Non-retryable error code", script: []step{{code: codes.Internal}}, client: "sc", want: outcome{"", codes.Internal, "0", 1, ""}},
	{name: "Traffic 74: One retry necessary", script: []step{{code: codes.Unavailable}}, client: "sc", want: outcome{"1", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 59, 74: Exceed max attempts (4); check attempts header on server",
		script: slices.Repeat([]step{{code: codes.Unavailable}}, 4), client: "sc", want: outcome{"", codes.Unavailable, "0 1 2 3", 4, ""}},
	{name: "Traffic 66: Multiple retries, the messages sent again", script: slices.Repeat([]step{{code: codes.Unavailable}}, 2), client: "sssc",
		want: outcome{"123", codes.OK, "0 1 2", 3, ""}},
	{name: "Traffic 65: No retry after a message", script: []step{{code: codes.Unavailable, when: afterMessage}}, client: "sc",
		want: outcome{"first", codes.Unavailable, "0", 1, ""}},
	// grpc-go's gives the header to its application at once, and does not retry; here the
	// client has not seen it yet.
	{name: "Traffic 65: No retry after headers", script: []step{{code: codes.Unavailable, when: afterHeader}}, client: "sc",
		want: outcome{"1", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 70: Server push back: do not retry", script: []step{{code: codes.Unavailable, pushback: []string{"-1"}}}, client: "sc",
		want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 70: Server push back: invalid", script: []step{{code: codes.Unavailable, pushback: []string{"xxx"}}}, client: "sc",
		want: outcome{"", codes.Unavailable, "0", 1, "pushback"}},
	{name: "Traffic 70: Server push back: zero, with a backoff of an hour", script: []step{{code: codes.Unavailable, pushback: []string{"0"}}}, client: "sc",
		want: outcome{"1", codes.OK, "0 1", 2, ""}},
	{name: "Traffic 66: Replay buffer exceeded", script: []step{{code: codes.Unavailable, when: afterHeader}}, client: "LLc",
		want: outcome{"", codes.Unavailable, "0", 1, "buffer"}},
}

// TestGRPCGoRetries compares what the gateway's client makes of the cases of grpc-go's
// tests with what grpc-go's makes of them, but where a decision differs.
func TestGRPCGoRetries(t *testing.T) {
	for _, test := range grpcgoRetries {
		t.Run(test.name, func(t *testing.T) {
			server := &scripted{script: slices.Clone(test.script)}
			r := usual()
			r.Attempts, r.BudgetPercent = 4, 100
			if strings.Contains(test.name, "an hour") {
				r.InitialBackoff, r.MaxBackoff = time.Hour, time.Hour
			}
			stream, err := attempt.NewGRPC(connect(t, server.start(t)), 1<<20).Retrying(&r).
				Open(t.Context(), "/test.Test/Stream", nil, proxy.Shape{ClientStreams: true, ServerStreams: true})
			if err != nil {
				t.Fatal(err)
			}
			got := outcome{}
			for i, does := range test.client {
				text := string(rune('1' + i))
				switch does {
				case 'L':
					text = strings.Repeat(text, 60<<10)
					fallthrough
				case 's':
					err = stream.Send(message(text))
				case 'c':
					err = stream.CloseSend()
				}
				if err != nil && err != io.EOF { // Recv has the reason
					t.Fatalf("%c: %v", does, err)
				}
			}
			var f proxy.Frame
			for f, err = stream.Recv(); err == nil; f, err = stream.Recv() {
				got.text += textOf(f)
				f.Free()
			}
			if err == io.EOF {
				err = nil
			}
			tries := triesOf(stream)
			got.code, got.arrivals, got.attempts, got.denied = status.Code(err), server.summary(), tries.Attempts, tries.Denied
			if got != test.want {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, test.want)
			}
		})
	}
}

// TestGRPCGoRetryUnary is grpc-go's TestRetryUnary: Traffic 59, 61: the last of up to four
// attempts decides.
func TestGRPCGoRetryUnary(t *testing.T) {
	const again, final = codes.Aborted, codes.Internal
	server := &scripted{}
	r := usual()
	r.Attempts, r.BudgetPercent, r.Codes = 4, 100, []codes.Code{codes.Unavailable, again}
	g := backend(t, server.start(t), &r)
	arrived := 0
	for _, test := range []struct {
		fails []codes.Code
		want  codes.Code
		calls int
	}{
		{nil, codes.OK, 1}, {[]codes.Code{again}, codes.OK, 2}, {[]codes.Code{again, again}, codes.OK, 3},
		{[]codes.Code{final}, final, 1}, {[]codes.Code{again, final}, final, 2}, {[]codes.Code{again, again, final}, final, 3},
		{[]codes.Code{again, again, again, again}, again, 4},
	} {
		server.mu.Lock()
		for _, code := range test.fails {
			server.script = append(server.script, step{code: code})
		}
		server.mu.Unlock()
		got, _, err := callUnary(t.Context(), g)
		if n := len(server.arrivals()) - arrived; got.code != test.want || n != test.calls {
			t.Errorf("after %v: %v with %d arrivals (%v), want %v with %d", test.fails, got.code, n, err, test.want, test.calls)
		}
		arrived = len(server.arrivals())
	}
}
