package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/log"
)

// TestLogStaysSmall: Events 145: a log whose sinks have got everything takes any number of events, with intents
// and without.
func TestLogStaysSmall(t *testing.T) {
	for _, intents := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := bus.New(bus.Options{Directory: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
				Log: log.Options{SegmentBytes: 1 << 20, MaxBytes: 4 << 20, MaxRecordBytes: 300 << 10}})
			defer func() { _ = b.Close() }()
			if err := b.Open(); err != nil {
				t.Fatal(err)
			}
			publisher := b.Publisher(b.Add("a", &receiver{}))
			e := event("1")
			e.Data = bytes.Repeat([]byte("x"), 200<<10)
			for n := range 60 {
				var err error
				if intents {
					begun, failed := publisher.Begin(t.Context(), e)
					if failed != nil {
						t.Fatal(n, failed)
					}
					err = begun.Complete(t.Context(), e)
				} else {
					err = publisher.Store(t.Context(), e)
				}
				if err != nil {
					t.Fatal(n, err)
				}
				time.Sleep(2 * time.Second)
			}
		})
	}
}

// TestRemovedFolder: Events 137: a log whose folder somebody removes takes nothing more: it would be lost with the process.
func TestRemovedFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "events")
		p := opened(t, dir)
		publisher := p.Publisher()
		store(t, publisher, "1")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		err := publisher.Store(t.Context(), event("2"))
		_, begun := publisher.Begin(t.Context(), event("3"))
		if err == nil || begun == nil || p.Failure() == nil || !strings.Contains(p.said.String(), "was removed") {
			t.Errorf("%v, %v, %v; it was said: %s", err, begun, p.Failure(), &p.said)
		}
	})
}

// TestStoreAll: Events 191: events that are stored together reach sinks in their order, and each has the error of a log that
// cannot take it.
func TestStoreAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := opened(t, t.TempDir()), &receiver{}
		publisher := p.Publisher(p.Add("a", a))
		var all []*events.Event
		var ids []string
		for n := range 200 {
			ids = append(ids, fmt.Sprint(n))
			all = append(all, event(ids[n]))
		}
		errs := make([]error, len(all))
		publisher.StoreAll(t.Context(), all, errs)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantIDs(t, a, ids...)
		_ = p.Close()
		publisher.StoreAll(t.Context(), all, errs)
		for i, err := range errs {
			if err == nil {
				t.Fatalf("event %d was stored in a log that is closed", i)
			}
		}
	})
}

// TestStoreAllBehindRefused: Events 191: behind an event that the log refuses none is stored, so that who sends all again
// does not have them in another order.
func TestStoreAllBehindRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := opened(t, t.TempDir()), &receiver{}
		publisher := p.Publisher(p.Add("a", a))
		large := event("large")
		large.Data = make([]byte, 16<<20)
		errs := make([]error, 3)
		publisher.StoreAll(t.Context(), []*events.Event{event("1"), large, event("2")}, errs)
		time.Sleep(time.Second)
		wantIDs(t, a, "1")
		if errs[0] != nil || !errors.Is(errs[1], log.ErrTooLarge) || !errors.Is(errs[2], log.ErrTooLarge) {
			t.Errorf("got %v", errs)
		}
		publisher.StoreAll(t.Context(), []*events.Event{event("2"), event("3")}, make([]error, 2))
		time.Sleep(time.Second)
		wantIDs(t, a, "1", "2", "3")
	})
}
