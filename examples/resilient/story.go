package resilient

import (
	"context"
	"fmt"
	"io"
	"time"
)

// chapters are what happens to the stations in the story, one after the other; after
// each, all are well for a while.
var chapters = []struct {
	station string
	state   State
	title   string
}{
	{"east", Dead, "east is killed: its connections are cut, and nobody listens there"},
	{"west", Hanging, "west hangs: it takes calls and answers none"},
	{"north", Slow, "north is slow: each answer takes it two seconds"},
	{"east", Sick, "east is sick: it answers every call with UNAVAILABLE"},
}

// Tell has the stations be ill one after the other, each for so long.
func Tell(ctx context.Context, f Fleet, each time.Duration, out io.Writer) error {
	for _, c := range chapters {
		if pause(ctx, each/2) != nil {
			return ctx.Err()
		}
		_, _ = fmt.Fprintf(out, "--- %s\n", c.title) // whether anybody can read it is not ours to say
		if err := f.Tell(c.station, string(c.state)); err != nil {
			return err
		}
		if pause(ctx, each) != nil {
			return ctx.Err()
		}
		_, _ = fmt.Fprintf(out, "--- %s is well again\n", c.station) // as above
		if err := f.Tell(c.station, string(Well)); err != nil {
			return err
		}
	}
	return pause(ctx, each/2)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
