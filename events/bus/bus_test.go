package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
)

func TestBestEffort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := start(t, ""), &receiver{}, &receiver{}
		publisher := p.Publisher(p.Add("a", a), p.Add("b", b))
		publisher.Publish(event("1"))
		only := event("2")
		only.Sinks = []string{"b"}
		publisher.Publish(only)
		synctest.Wait()
		wantIDs(t, a, "1")
		wantIDs(t, b, "1", "2")
		if n := p.counts.of("sent b topic"); n != 2 {
			t.Errorf("%d were counted", n)
		}
		if err := publisher.Store(t.Context(), event("3")); !errors.Is(err, bus.ErrNoLog) {
			t.Errorf("stored without a log: %v", err)
		}
		_ = p.Close()
		if !a.closed || !b.closed {
			t.Error("a sink is still open")
		}
	})
}

// TestLinger has a batch wait for more.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := opened(t, t.TempDir()), &receiver{linger: 10 * time.Millisecond}
		publisher := p.Publisher(p.Add("a", a))
		for i := range 5 {
			publisher.Publish(event(fmt.Sprint(i)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		for i := range 5 {
			store(t, publisher, fmt.Sprint("stored ", i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(a.sizes) != 2 || a.sizes[0] != 5 || a.sizes[1] != 5 {
			t.Errorf("batches of %v", a.sizes)
		}
	})
}

// TestQueueIsBounded holds Events 133 and 154: what does not fit is dropped and counted, whoever
// publishes does not wait, and another sink gets all.
func TestQueueIsBounded(t *testing.T) {
	for name, data := range map[string]int{"many": 2, "large": 100 << 10} {
		t.Run("Events 133: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stuck, well := start(t, ""), &receiver{block: true}, &receiver{}
				publisher := p.Publisher(p.Add("stuck", stuck), p.Add("well", well))
				e := event("first")
				publisher.Publish(e) // is under way, and not in the queue
				synctest.Wait()
				sent := 0
				for ; p.counts.of("dropped queue_full stuck topic") < 10; sent++ {
					e := event("x")
					e.Data = bytes.Repeat([]byte("x"), data)
					publisher.Publish(e)
					if sent%64 == 0 {
						synctest.Wait()
					}
				}
				synctest.Wait()
				kept := sent - 10
				if data == 2 && kept != 8192 || data > 2 && (kept*data > 8<<20 || kept*data < 7<<20) {
					t.Errorf("%d events of %d bytes fit", kept, data)
				}
				if n := len(well.ids()); n != sent+1 {
					t.Errorf("the other sink has %d of %d", n, sent+1)
				}
			})
		})
	}
}

func TestPublishAllocates(t *testing.T) {
	p := start(t, "")
	publisher := p.Publisher(p.Add("a", &receiver{block: true}))
	e := event("1")
	publisher.Publish(e)
	publisher.Publish(e) // the counter is there
	if n := testing.AllocsPerRun(1000, func() { publisher.Publish(e) }); n > 1 {
		t.Errorf("Events 133: %v allocations", n)
	}
}

// TestStop holds Events 135: what was published best effort is sent until the time is over,
// and then counted.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		name          string
		sink          *receiver
		sent, dropped int
	}{
		{"in time", &receiver{}, 100, 0},
		{"broker away", &receiver{answer: away}, 0, 100},
		{"hangs", &receiver{block: true}, 0, 100},
	} {
		t.Run("Events 135: "+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, "")
				publisher := p.Publisher(p.Add("a", test.sink))
				for range 100 {
					publisher.Publish(event("1"))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				p.Stop(ctx)
				if n := p.counts.of("dropped shutdown a topic"); n != test.dropped || len(test.sink.ids()) != test.sent {
					t.Errorf("%d were dropped, %d sent", n, len(test.sink.ids()))
				}
				if said := strings.Count(p.said.String(), "events were dropped"); said != min(test.dropped, 1) {
					t.Errorf("the log says it %d times: %s", said, &p.said)
				}
				publisher.Publish(event("late"))
				if n := p.counts.of("dropped shutdown a topic"); n != test.dropped+1 {
					t.Error("what comes later is not counted")
				}
			})
		})
	}
}

// TestAwayAndBack holds Events 148, 152 and 154: a sink that is away delays, and nothing is lost by
// it, nor by restarts, nor is another sink kept.
func TestAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p, a, b := opened(t, dir), &receiver{answer: away}, &receiver{}
		publisher := p.Publisher(p.Add("a", a), p.Add("b", b))
		store(t, publisher, "1", "2")
		time.Sleep(10 * time.Minute)
		wantIDs(t, a)
		wantIDs(t, b, "1", "2")
		if n := strings.Count(p.said.String(), "does not take events"); n < 8 || n > 12 {
			t.Errorf("the log says it %d times in 10 minutes", n)
		}
		_ = p.Close()

		p, b = opened(t, dir), &receiver{}
		publisher = p.Publisher(p.Add("a", a), p.Add("b", b))
		store(t, publisher, "3")
		a.answers(nil)
		time.Sleep(31 * time.Second)
		wantIDs(t, a, "1", "2", "3")
		wantIDs(t, b, "3")
		if recorded := a.got[0].Extension("recordedtime"); recorded != a.got[0].Time.Format(time.RFC3339Nano) {
			t.Errorf("Events 148: recordedtime is %q", recorded)
		}
	})
}

// TestRejected holds Events 149: an event that a sink refuses for good is put aside with the reason
// and in nobody's way, and may be sent again to that sink alone.
func TestRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p, a, b := opened(t, dir), &receiver{}, &receiver{}
		a.answers(func(e *events.Event) error {
			if e.ID == "2" {
				return fmt.Errorf("%w: too large", events.ErrRejected)
			}
			return nil
		})
		publisher := p.Publisher(p.Add("a", a), p.Add("b", b))
		store(t, publisher, "1", "2", "3")
		time.Sleep(time.Second)
		wantIDs(t, a, "1", "3")
		wantIDs(t, b, "1", "2", "3")
		all := p.Rejected("a")
		if len(all) != 1 || all[0].Event.ID != "2" || all[0].Reason != "the event was rejected: too large" || p.counts.of("rejected a topic") != 1 {
			t.Fatalf("put aside: %+v", all)
		}
		_ = p.Close()

		p = opened(t, dir)
		a.answers(nil)
		p.Publisher(p.Add("a", a), p.Add("b", b))
		if err := p.RetryRejected("a", all[0].ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantIDs(t, a, "1", "3", "2")
		wantIDs(t, b, "1", "2", "3")
		for _, id := range []string{all[0].ID, "../../1/lock", "", strings.Repeat("a", 36)} {
			if err := p.RetryRejected("a", id); !errors.Is(err, bus.ErrNotRejected) {
				t.Errorf("%q again: %v", id, err)
			}
			if err := p.DropRejected("a", id); !errors.Is(err, bus.ErrNotRejected) {
				t.Errorf("%q dropped: %v", id, err)
			}
		}
	})
}

// TestRejectsAll: Events 149: a sink that rejects all says so, the log is told of it once a minute, and of
// what is put aside the oldest of the sender that has the most give way.
func TestRejectsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		folder := filepath.Join(dir, "rejected", "a")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		const before, all = 9_950, 100
		others := filepath.Join(folder, events.NewID(time.Now())+".0a0b0c0d.json") // of somebody who has sent one alone
		if err := os.WriteFile(others, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range before {
			if err := os.WriteFile(filepath.Join(folder, events.NewID(time.Now())+".json"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // those are the oldest, and go first
		p, a := opened(t, dir), &receiver{}
		a.answers(func(*events.Event) error { return fmt.Errorf("%w: gone", events.ErrRejected) })
		publisher := p.Publisher(p.Add("a", a))
		for n := range all {
			publisher.Publish(event(fmt.Sprint(n)))
			if n%10 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Second)
		status := p.Status().Sinks[0]
		if status.Refusal == nil || status.Failure != nil || p.counts.of("rejected a topic") != all {
			t.Errorf("%+v, %d", status, p.counts.of("rejected a topic"))
		}
		if n := strings.Count(p.said.String(), "the sink has rejected"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if kept, err := os.ReadDir(folder); err != nil || len(kept) != 10_000 || len(p.Rejected("a")) != all {
			t.Errorf("%d are put aside: %v", len(kept), err)
		}
		if n := strings.Count(p.said.String(), "too many events are put aside"); n != 1 {
			t.Errorf("said %d times that some were dropped", n)
		}
		if _, err := os.Stat(others); err != nil {
			t.Errorf("one sender has pushed out what another had sent: %v", err)
		}
		a.answers(nil)
		publisher.Publish(event("good"))
		time.Sleep(time.Second)
		if p.Status().Sinks[0].Refusal != nil {
			t.Error("it still rejects them")
		}
	})
}

// TestTakeOver holds Events 143: of two processes each has a folder, and when one is gone
// the other sends what it has left, each sink what that has not got.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first, a, b := opened(t, dir), &receiver{answer: away}, &receiver{}
		firstPublisher := first.Publisher(first.Add("a", a), first.Add("b", b))
		second, a2, b2 := opened(t, dir), &receiver{}, &receiver{}
		second.Publisher(second.Add("a", a2), second.Add("b", b2))
		store(t, firstPublisher, "1", "2")
		if _, err := firstPublisher.Begin(t.Context(), event("3")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantIDs(t, b, "1", "2")
		_ = first.Close()
		time.Sleep(6 * time.Second) // it looks for such folders every 5 seconds
		wantIDs(t, a2, "1", "2", "3")
		wantIDs(t, b2, "3")
		if len(b2.got) == 0 {
			t.Fatal("it took nothing over")
		}
		if outcome := b2.got[0].Extension("outcome"); outcome != "unknown" {
			t.Errorf("Events 138: the outcome is %q", outcome)
		}
		if _, err := os.Stat(filepath.Join(dir, "1")); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
}

// TestIntents holds Events 138: an intent that is completed is what it was completed with, and one
// that is not is published after a restart as a call of unknown outcome.
func TestIntents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p, a := opened(t, dir), &receiver{}
		publisher := p.Publisher(p.Add("a", a))
		begin := func(id string) events.Intent {
			t.Helper()
			intent, err := publisher.Begin(t.Context(), event(id))
			if err != nil {
				t.Fatal(err)
			}
			return intent
		}
		complete := func(i events.Intent, e *events.Event) {
			t.Helper()
			if err := i.Complete(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		one, two, three := begin("1"), begin("2"), begin("3")
		complete(three, event("3"))
		complete(one, nil)
		store(t, publisher, "4")
		time.Sleep(time.Second)
		wantIDs(t, a, "3", "4")
		_ = two
		_ = p.Close()

		for range 2 { // it is published once
			p = opened(t, dir)
			publisher = p.Publisher(p.Add("a", a))
			time.Sleep(time.Second)
			wantIDs(t, a, "3", "4", "2")
			_ = p.Close()
		}
		if outcome := a.got[2].Extension("outcome"); outcome != "unknown" {
			t.Errorf("the outcome is %q", outcome)
		}
	})
}

// TestReload has a sink's runner followed by another one, which gets what that has not sent, at once.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, before, after := opened(t, t.TempDir()), &receiver{}, &receiver{}
		old := p.Add("a", before)
		oldPublisher := p.Publisher(old)
		store(t, oldPublisher, "1")
		synctest.Wait()
		before.answers(away)
		store(t, oldPublisher, "2")
		oldPublisher.Publish(event("best effort"))
		time.Sleep(time.Second)

		publisher := p.Publisher(p.Add("a", after))
		store(t, publisher, "3")
		time.Sleep(time.Second)
		wantIDs(t, after)
		_, _ = old.Close(), oldPublisher.Close()
		synctest.Wait()
		wantIDs(t, before, "1")
		got := after.ids()
		slices.Sort(got)
		if !slices.Equal(got, []string{"2", "3", "best effort"}) {
			t.Errorf("got %v", got)
		}
		if !before.closed || p.counts.of("dropped shutdown a topic") != 0 {
			t.Error("the sink before is open, or its event was dropped")
		}
	})
}

// TestForgottenSink holds that a sink which no configuration has does not keep the log from
// becoming smaller, and one that a failed reload had is none.
func TestForgottenSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := opened(t, dir)
		kept, gone := p.Add("kept", &receiver{answer: away}), p.Add("gone", &receiver{answer: away})
		old := p.Publisher(kept, gone)
		store(t, old, "1")
		failed := p.Add("failed", &receiver{})
		attempt := p.Publisher(kept, failed)
		_, _ = failed.Close(), attempt.Close()
		time.Sleep(time.Minute)
		if got := names(p); !reflect.DeepEqual(got, []string{"gone", "intents", "kept"}) {
			t.Errorf("the log has %v", got)
		}
		p.Publisher(kept)
		_, _ = gone.Close(), old.Close()
		time.Sleep(time.Minute)
		if got := names(p); !reflect.DeepEqual(got, []string{"intents", "kept"}) || !strings.Contains(p.said.String(), "events_not_sent=1") {
			t.Errorf("the log has %v; it was said: %s", got, &p.said)
		}
	})
}

func names(p *process) []string {
	var all []string
	for name := range p.Log().Cursors() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// TestLogAlone has no sink: events stay in the log.
func TestLogAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := opened(t, t.TempDir())
		publisher := p.Publisher()
		store(t, publisher, "1")
		for i := range 100 {
			publisher.Publish(event(fmt.Sprint("best effort ", i)))
		}
		time.Sleep(time.Second)
		r := p.Log().Reader(0)
		defer func() { _ = r.Close() }()
		for i := range 101 {
			record, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := events.ParseRecord(record.Body)
			want := "1"
			if i > 0 {
				want = fmt.Sprint("best effort ", i-1)
			}
			if err != nil || parsed.Event.ID != want {
				t.Fatalf("record %d is %v, %v", i, parsed.Event, err)
			}
		}
	})
}

// TestReadOnlyDirectory tells what to do.
func TestReadOnlyDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Join(file, "events"))
	if err := p.Open(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}
