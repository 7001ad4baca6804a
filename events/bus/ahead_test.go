package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/events"
)

// TestAheadOfOneBadEvent holds Events 149: what a sink does not take is in the way of nothing that comes later, be it stored or
// best effort; it is sent again beside that, and comes again after a restart.
func TestAheadOfOneBadEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p, a := opened(t, dir), &receiver{}
		a.answers(func(e *events.Event) error {
			if e.ID == "bad" {
				return away(e)
			}
			return nil
		})
		publisher := p.Publisher(p.Add("a", a))
		store(t, publisher, "1", "bad")
		time.Sleep(time.Hour) // attempts are far apart
		for n := range 3 {
			store(t, publisher, fmt.Sprint("stored ", n))
			publisher.Publish(event(fmt.Sprint("given ", n)))
			time.Sleep(time.Minute)
		}
		wantIDs(t, a, "1", "given 0", "stored 0", "given 1", "stored 1", "given 2", "stored 2")
		if s := p.Status().Sinks[0]; s.Failure == nil || s.Lag != 4 {
			t.Errorf("the state is %+v, want a failure, and a lag of 4", s)
		}
		_ = p.Close()

		p, a = opened(t, dir), &receiver{}
		p.Publisher(p.Add("a", a))
		time.Sleep(time.Second)
		wantIDs(t, a, "bad", "stored 0", "stored 1", "stored 2")
	})
}

// TestStopWithWhatIsStored holds Events 135: what the log keeps does not hold up the end of the gateway, whose sink is away.
func TestStopWithWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := opened(t, t.TempDir()), &receiver{answer: away}
		publisher := p.Publisher(p.Add("a", a))
		store(t, publisher, "1")
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		began := time.Now()
		p.Stop(ctx)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// slow is a sink that takes one event after another, when it is told to.
type slow struct {
	receiver
	next chan int
}

func (s *slow) SendTelling(ctx context.Context, batch []*events.Event, errs []error, taken func(i int)) {
	for {
		select {
		case i := <-s.next:
			taken(i)
		case <-ctx.Done():
			s.block = true
			s.Send(ctx, batch, errs)
			return
		}
	}
}

// TestTakenOneByOne holds Events 144: how far a sink has come is known while it is at work, so that a crash does not have all
// sent again that it was given at once.
func TestTakenOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := opened(t, t.TempDir()), &slow{receiver: receiver{linger: time.Second}, next: make(chan int)}
		publisher := p.Publisher(p.Add("a", a))
		all := []*events.Event{event("0"), event("1"), event("2"), event("3"), event("4")}
		publisher.StoreAll(t.Context(), all, make([]error, len(all)))
		time.Sleep(time.Minute) // all are under way
		first := p.Log().Cursors()["a"]
		for _, step := range []struct{ taken, behind int }{{1, 0}, {0, 2}, {3, 2}, {2, 4}} {
			a.next <- step.taken
			synctest.Wait()
			if got := p.Log().Cursors()["a"]; got != first+uint64(step.behind) { //nolint:gosec // it is small
				t.Errorf("after %d was taken %d are behind the place, want %d", step.taken, got-first, step.behind)
			}
		}
	})
}
