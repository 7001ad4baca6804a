package webhook

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestPatience holds how long an event is sent again: shortly when the server does not
// understand it, longer when it takes others meanwhile, a day otherwise; and that those of its
// key come next.
func TestPatience(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		others bool
		want   time.Duration
	}{
		"content":      {http.StatusBadRequest, false, time.Minute},
		"others taken": {http.StatusInternalServerError, true, 10 * time.Minute},
		"alone":        {http.StatusInternalServerError, false, 24 * time.Hour},
		"not found":    {http.StatusNotFound, false, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bad := true
			receiver := serve(t, func(r received) int {
				if bad && strings.Contains(r.body, `"n":1}`) {
					return test.status
				}
				return http.StatusOK
			})
			s, _ := open(t, &transomv1.WebhookSink{Concurrency: 1}, receiver.URL)
			now := time.Now()
			s.now = func() time.Time { return now }
			first, next := event("ann", 1), event("ann", 2)
			batch := []*events.Event{first, next}
			if test.others {
				batch = append(batch, event("bob", 3))
			}
			if errs := sendAll(t, s, batch...); errs[0] == nil || errs[1] == nil || test.others && errs[2] != nil {
				t.Fatalf("got %v", errs)
			}
			now = now.Add(test.want - time.Second)
			if errs := sendAll(t, s, first, next); errs[0] == nil || errs[1] == nil || errors.Is(errs[0], events.ErrRejected) || errors.Is(errs[1], events.ErrRejected) {
				t.Errorf("before the time: got %v", errs)
			}
			now = now.Add(time.Second)
			if errs := sendAll(t, s, first, next); !errors.Is(errs[0], events.ErrRejected) || errs[1] == nil || errors.Is(errs[1], events.ErrRejected) {
				t.Errorf("got %v", errs)
			}
			if errs := sendAll(t, s, next); errs[0] != nil {
				t.Errorf("got %v", errs)
			}
		})
	}
}

// TestTooMany: Events 155: that a server takes fewer than come is due to no event, and no event is rejected for it as long as others are taken.
func TestTooMany(t *testing.T) {
	for name, head := range map[string]string{"429": "", "503 and Retry-After": "0"} {
		t.Run(name, func(t *testing.T) {
			status, taken := http.StatusTooManyRequests, "bob"
			if head != "" {
				status = http.StatusServiceUnavailable
			}
			receiver := serve(t, func(r received) int {
				if r.header.Get("Ce-Partitionkey") == taken {
					return http.StatusOK
				}
				return status
			})
			if head != "" {
				receiver.head.Set("Retry-After", head)
			}
			s, _ := open(t, &transomv1.WebhookSink{Concurrency: 1}, receiver.URL)
			now := time.Now()
			s.now = func() time.Time { return now }
			late := event("ann", 1)
			for range 23 {
				if errs := sendAll(t, s, event(taken, 2), late); errs[0] != nil || errs[1] == nil || errors.Is(errs[1], events.ErrRejected) {
					t.Fatalf("got %v", errs)
				}
				now = now.Add(time.Hour)
			}
			taken = "ann"
			if errs := sendAll(t, s, late); errs[0] != nil {
				t.Errorf("got %v", errs)
			}
		})
	}
}

// TestBesideOthers: Events 149: an event that a server does not take while it takes others is sent again ever more rarely, and a
// server that takes none is asked for each.
func TestBesideOthers(t *testing.T) {
	receiver := serve(t, func(r received) int {
		if r.header.Get("Ce-Partitionkey") == "bad" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	s, _ := open(t, &transomv1.WebhookSink{}, receiver.URL)
	now := time.Now()
	s.now = func() time.Time { return now }
	bad, next, alone := event("bad", 1), event("bad", 2), 0
	for range 600 { // for a minute, ten times a second
		if errs := sendAll(t, s, bad, next, event("", 3)); errs[0] == nil || errs[1] == nil || errs[2] != nil {
			t.Fatalf("got %v", errs)
		}
		now = now.Add(100 * time.Millisecond)
	}
	for _, r := range receiver.all() {
		if r.header.Get("Ce-Id") == next.ID {
			t.Fatal("an event of its key was sent")
		}
		if r.header.Get("Ce-Id") == bad.ID {
			alone++
		}
	}
	if alone < 5 || alone > 12 {
		t.Errorf("it was sent %d times in a minute", alone)
	}
}
