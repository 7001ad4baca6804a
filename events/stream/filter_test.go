package stream

import (
	"fmt"
	"testing"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestFiltersAtOnce holds Events 186: filters of clients, however many, are asked a few at once, and who has none
// does not wait for them.
func TestFiltersAtOnce(t *testing.T) {
	dir := t.TempDir()
	l, err := log.Open(dir, log.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHub(Options{Log: l, Directory: dir, Folder: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = h.Close(), l.Close() })
	rules, _ := h.Rules([]*transomv1.EventStream{{Topic: "topic"}})
	listen := func(filter string) *Stream {
		s, err := rules.Subscribe(&transomv1.SubscribeRequest{Topic: "topic", Filter: filter}, &Caller{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if _, err := s.Next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return s
	}
	get := func(s *Stream, want int) {
		t.Helper()
		for n := 0; n < want; {
			run, err := s.Next(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			n += len(run.Items)
		}
	}
	all, some := listen(""), listen("event.data.n < 5")
	for range cap(h.filtering) {
		h.filtering <- struct{}{} // as if others were asked
	}
	var bodies [][]byte
	for i := range 10 {
		bodies = append(bodies, events.AppendRecord(nil, &events.Event{ID: fmt.Sprint(i), Source: "/test", Type: "a.b", Topic: "topic", DataContentType: events.JSON, Data: fmt.Appendf(nil, `{"n":%d}`, i)}))
	}
	if _, err := l.AppendAll(t.Context(), bodies); err != nil {
		t.Fatal(err)
	}
	t.Run("Events 186: without one", func(t *testing.T) {
		if get(all, 10); some.Ready() {
			t.Error("a filter was asked beside all the others")
		}
	})
	for range cap(h.filtering) {
		<-h.filtering
	}
	t.Run("Events 186: when others are done", func(*testing.T) { get(some, 5) })
}
