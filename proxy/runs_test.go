package proxy

import (
	"context"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
)

// runBackend is a fakeBackend whose messages come in runs; ready says of each RecvRun whether it returns at once.
type runBackend struct {
	*fakeBackend
	runs  []*Run
	ready []bool
}

func (b *runBackend) Ready() bool { return b.ready[0] }

func (b *runBackend) RecvRun() (*Run, error) {
	b.ready = b.ready[1:]
	if len(b.runs) == 0 {
		return nil, io.EOF
	}
	run := b.runs[0]
	b.runs = b.runs[1:]
	return run, nil
}

// runClient is a fakeClient that takes runs.
type runClient struct {
	*fakeClient
	runs     []*Run
	expected int // how often it was told of runs before the first one
}

func (c *runClient) ExpectRuns() {
	if len(c.runs) == 0 {
		c.expected++
	}
}

func (c *runClient) SendRun(r *Run) error {
	c.runs = append(c.runs, r)
	return nil
}

// openRuns opens a runBackend, whose Open is that of its fakeBackend.
type openRuns struct {
	*fakeBackend
	stream *runBackend
}

func (b openRuns) Open(ctx context.Context, method string, header Metadata, shape Shape) (Stream, error) {
	_, err := b.fakeBackend.Open(ctx, method, header, shape)
	return b.stream, err
}

// TestRuns has messages that are at hand at once sent so to a client that takes them, and one by one to another,
// flushed when none is at hand, and counted one by one.
func TestRuns(t *testing.T) {
	backend := func() Backend {
		run := func(texts ...string) *Run {
			var frames []Frame
			for _, text := range texts {
				frames = append(frames, WrapFrame([]byte(text)).WithNote(&Note{ID: text}))
			}
			return NewRun(frames)
		}
		b := newFakeBackend()
		return openRuns{b, &runBackend{b, []*Run{run("1", "2"), run("3"), run("4", "5", "6")}, []bool{false, true, false, false, false}}}
	}
	one := newFakeClient("a")
	check(t, relay(t, t.Context(), &Call{Downstream: one, Backend: backend(), Shape: serverStreams}), codes.OK, 1, 6)
	if want := []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(one.got, want) || one.flushes != 2 {
		t.Errorf("%q, flushed %d times", one.got, one.flushes)
	}
	all := &runClient{fakeClient: newFakeClient("a")}
	r := Relay(t.Context(), &Call{Downstream: all, Backend: backend(), Shape: serverStreams})
	if check(t, r, codes.OK, 1, 6); r.ResponseBytes != 6 || len(all.runs) != 3 || len(all.runs[2].Frames) != 3 || all.flushes != 2 || len(all.got) > 0 || all.expected != 1 {
		t.Errorf("%+v: %d runs, expected %d times, %q, flushed %d times", r, len(all.runs), all.expected, all.got, all.flushes)
	}
}
