package unwell

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// holeRate is the calls a second while a server is a black hole.
const holeRate = 400

// hole: one of four servers takes calls and answers none, for a while.
func hole(ctx context.Context, b *Bed) ([]Figure, error) {
	const before = time.Second
	lasts := before + b.Sizes.Hole + b.Sizes.Recovery
	calls := int(lasts.Seconds() * holeRate)
	f, err := b.open(ctx, 4, calls, Setup{Attempts: 3, PerTry: 100 * time.Millisecond, Outlier: true})
	if err != nil {
		return nil, err
	}
	defer f.close()
	f.all(varies(time.Millisecond))
	calling, stop := context.WithCancel(ctx)
	defer stop()
	var r *Result
	var caller sync.WaitGroup
	caller.Go(func() { r, _ = Call(calling, f.Conns, Load{Calls: calls, PerSecond: holeRate}) })
	var arrived int
	var recovered time.Duration
	if err = wait(ctx, before); err == nil {
		arrived, recovered, err = f.swallow(ctx, b.Sizes)
	}
	if err == nil {
		err = wait(ctx, time.Second)
	}
	stop()
	caller.Wait()
	if err != nil {
		return nil, err
	}
	failed := r.Failed - r.Codes[codes.Canceled] // Those that stop cut off did not fail.
	delete(r.Codes, codes.Canceled)
	return []Figure{
		reach(25, Figure{Label: "one of four a black hole, 100 ms a try: calls that see it", Value: float64(arrived)}),
		reach(0, Figure{Label: "of all calls meanwhile: failed", Value: float64(failed), Note: r.Failures()}),
		reach(45, Figure{Label: "until it has half its share again", Value: recovered.Seconds(), Unit: "s"}),
	}, nil
}

// swallow makes a server a black hole, heals it, and waits until it has half its
// share of the calls again. It returns how many calls it swallowed and how long it
// took to come back.
func (f *fleet) swallow(ctx context.Context, sizes Sizes) (arrived int, recovered time.Duration, err error) {
	s := f.servers[0]
	begun := s.Arrivals()
	s.Swallow()
	if err := wait(ctx, sizes.Hole); err != nil {
		return 0, 0, err
	}
	arrived = s.Arrivals() - begun
	s.Heal()
	healed := time.Now()
	for time.Since(healed) < sizes.Recovery {
		ours, all := s.Arrivals(), f.book.Arrivals()
		if err := wait(ctx, time.Second); err != nil {
			return 0, 0, err
		}
		share := float64(s.Arrivals()-ours) / float64(f.book.Arrivals()-all)
		if share >= 0.5/float64(len(f.servers)) {
			return arrived, time.Since(healed), nil
		}
	}
	return arrived, time.Since(healed), nil
}

// streams: more streams than a server allows on one connection.
func streams(ctx context.Context, b *Bed) ([]Figure, error) {
	const limit = 100
	f, err := b.open(ctx, 1, 0, Setup{}, grpc.MaxConcurrentStreams(limit))
	if err != nil {
		return nil, err
	}
	defer f.close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	running := 0
	var failed error
	for i := range b.Sizes.Streams {
		all.Go(func() {
			err := chat(ctx, f.Conns[i%len(f.Conns)])
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				running++
			} else {
				failed = err
			}
		})
	}
	all.Wait()
	note := fmt.Sprintf("%d streams, %d on a connection", b.Sizes.Streams, limit)
	if failed != nil {
		note += "; " + failed.Error()
	}
	return []Figure{
		reach(0, Figure{Label: "more streams than a connection takes: those without an answer", Value: float64(b.Sizes.Streams - running), Note: note}),
		reach(7, Figure{Label: "connections for them", Value: float64(f.servers[0].Accepted())}),
	}, nil
}

// chat opens a stream that stays open until ctx ends, and has one message echoed.
func chat(ctx context.Context, conn grpc.ClientConnInterface) error {
	stream, err := benchv1.NewItemServiceClient(conn).Chat(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&benchv1.Tick{Sequence: 1}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}
