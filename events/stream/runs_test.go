package stream_test

import (
	"context"
	"slices"
	"testing"

	"github.com/transom-gateway/transom/events/stream"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// client is a stream whose items are asked for one by one.
type client struct {
	*stream.Stream
	items []*stream.Item
	last  *stream.Item
}

// Cursor is where the client is.
func (c *client) Cursor() string {
	if c.last == nil {
		return c.Stream.Cursor()
	}
	return c.last.Cursor
}

// Next is the next item.
func (c *client) Next(ctx context.Context, leave <-chan struct{}) (*stream.Item, error) {
	if len(c.items) == 0 {
		run, err := c.Stream.Next(ctx, leave)
		if err != nil {
			return nil, err
		}
		c.items = run.Items
	}
	item := c.items[0]
	c.items, c.last = c.items[1:], item
	return item, nil
}

// TestSharedRuns holds Events 184: clients of a class get what is at hand at once, and the same of it.
func TestSharedRuns(t *testing.T) {
	p := start(t, t.TempDir(), stream.Options{OuterRun: func(items []*stream.Item) any { return len(items) }})
	rules := p.rules(&transomv1.EventStream{Topic: "topic"})
	var all [2][]*stream.Item
	var runs [2]int
	clients := []*client{p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{}), p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})}
	for _, s := range clients {
		defer s.Close()
		p.next(s) // where it begins
	}
	p.publish(numbered(0, 300)...)
	for i, s := range clients {
		for n := 0; n < 300; {
			run, err := s.Stream.Next(p.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if n += len(run.Items); run.Outer != len(run.Items) {
				t.Errorf("%v made of %d items", run.Outer, len(run.Items))
			}
			all[i] = append(all[i], run.Items...)
			runs[i]++
		}
	}
	if !slices.Equal(all[0], all[1]) || max(runs[0], runs[1]) > 100 {
		t.Errorf("%d runs and %d: not the same events, or few in each", runs[0], runs[1])
	}
}
