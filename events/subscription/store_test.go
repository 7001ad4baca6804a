package subscription_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
)

// letter is a dead letter of somebody: "@name" is a caller whom the gateway knows, others are sources.
// Each is a millisecond younger than the one before.
func letter(from, id string) subscription.Letter {
	e := &events.Event{ID: id, Source: from, Type: "user.click", DataContentType: events.JSON, Data: []byte("{}")}
	if who, known := strings.CutPrefix(from, "@"); known {
		e.Source, e.Extensions = "/transom", []events.Extension{{Name: "authid", Value: who}}
	}
	d := subscription.NewLetter("shop.v1.Counter/Count", &subscription.Message{Event: e}, subscription.Result{Code: codes.InvalidArgument}, 1)
	d.At = d.At.Add(time.Duration(letters.Add(1)) * time.Millisecond)
	d.ID = events.NewID(d.At)
	return d
}

// letters counts them.
var letters atomic.Int64

// heldIn are the ids of the events in a store.
func heldIn(s *subscription.Store) string {
	var all []string
	s.Each("counts", func(d subscription.Letter) bool { all = append(all, d.Event.ID); return true })
	return strings.Join(all, " ")
}

// TestDeadLettersOfOneSender: Events 168: who sends what never succeeds pushes out what is its own, and
// holds nobody up.
func TestDeadLettersOfOneSender(t *testing.T) {
	t.Parallel()
	s := &subscription.Store{Folder: t.TempDir()}
	bury := func(from, id string) (gone string) {
		t.Helper()
		letters, err := s.Bury("counts", letter(from, id), subscription.Bound{Most: 5})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range letters {
			gone += d.Event.ID + " "
		}
		return gone
	}
	bury("@ann", "ann1")
	bury("/orders", "order1")
	for i := range 20 {
		want := ""
		if i >= 3 {
			want = fmt.Sprintf("poison%d ", i-3)
		}
		if gone := bury("@mallory", fmt.Sprint("poison", i)); gone != want {
			t.Errorf("for poison%d went %q, expected %q", i, gone, want)
		}
	}
	if gone := bury("/orders", "order2"); gone != "poison17 " {
		t.Errorf("for another's went %q", gone)
	}
	if held := heldIn(s); held != "ann1 order1 poison18 poison19 order2" || s.Count("counts") != 5 {
		t.Error(held)
	}
	// A restart, and other processes, find them as they are.
	again := &subscription.Store{Folder: s.Folder}
	if _, err := again.Bury("counts", letter("@mallory", "poison20"), subscription.Bound{Most: 5}); err != nil || heldIn(again) != "ann1 order1 poison19 order2 poison20" {
		t.Error(heldIn(again), err)
	}
	again.Each("counts", func(d subscription.Letter) bool {
		if err := again.Drop("counts", d.ID); err != nil {
			t.Error(err)
		}
		return true
	})
	if again.Count("counts") != 0 || s.Count("counts") != 0 {
		t.Error(heldIn(again), heldIn(s))
	}
	if gone := bury("@ann", "ann2"); gone != "" || heldIn(s) != "ann2" {
		t.Error(gone, heldIn(s))
	}
}

// TestDeadLettersWait: who would rather wait than lose a dead letter has none dropped.
func TestDeadLettersWait(t *testing.T) {
	t.Parallel()
	s := &subscription.Store{Folder: t.TempDir()}
	bound := subscription.Bound{Most: 2, Wait: true}
	first := letter("@a", "1")
	for _, d := range []subscription.Letter{first, letter("@a", "2")} {
		if _, err := s.Bury("counts", d, bound); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := s.Bury("counts", letter("@a", "3"), bound)
	if len(gone) != 0 || err == nil || !strings.Contains(err.Error(), "max_dead_letters") || heldIn(s) != "1 2" {
		t.Errorf("%v, %v: %s", gone, err, heldIn(s))
	}
	if err := s.Drop("counts", first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bury("counts", letter("@a", "3"), bound); err != nil || heldIn(s) != "2 3" {
		t.Errorf("%v: %s", err, heldIn(s))
	}
}

// A dead letter more does not look at those that are there: what others wrote into the folder is seen by
// its time alone, and so is what one of another version wrote.
func TestDeadLettersOfOthers(t *testing.T) {
	t.Parallel()
	s := &subscription.Store{Folder: t.TempDir()}
	d := letter("@a", "1")
	if _, err := s.Bury("counts", d, subscription.Bound{}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(s.Folder, "counts", "dead")
	found, err := os.ReadDir(folder)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if err := os.Rename(filepath.Join(folder, found[0].Name()), filepath.Join(folder, d.ID+".json")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Letter("counts", d.ID); err != nil && s.Count("counts") != 1 || got.Event != nil && got.Event.ID != "1" {
		t.Error(got, err)
	}
	other := &subscription.Store{Folder: s.Folder}
	if got, err := other.Letter("counts", d.ID); err != nil || got.Event.ID != "1" {
		t.Error(got, err)
	}
	if err := other.Drop("counts", d.ID); err != nil {
		t.Error(err)
	}
	if err := other.Drop("counts", d.ID); err == nil {
		t.Error("it was dropped twice")
	}
}

func BenchmarkBury(b *testing.B) {
	for _, held := range []int{0, 10_000} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			s := &subscription.Store{Folder: b.TempDir()}
			for range held {
				if _, err := s.Bury("counts", letter("@a", "1"), subscription.Bound{Most: held}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := s.Bury("counts", letter("@a", "1"), subscription.Bound{Most: held}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
