package behaviour

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// together is a Shared in memory.
type together struct {
	ids  []string
	err  error
	asks int
}

func (s *together) Has(_ context.Context, ids []string) ([]bool, error) {
	s.asks++
	has := make([]bool, len(ids))
	for i, id := range ids {
		has[i] = slices.Contains(s.ids, id)
	}
	return has, s.err
}

func (s *together) Add(ctx context.Context, ids []string) error {
	if s.err == nil && ctx.Err() == nil {
		s.ids = append(s.ids, ids...)
	}
	return s.err
}

// refusing is a publisher that stores events of one id alone.
type refusing struct {
	events.Publisher
	only string
}

func (r refusing) Store(ctx context.Context, e *events.Event) error {
	if e.ID != r.only {
		return errors.New("no")
	}
	return r.Publisher.Store(ctx, e)
}

func (r refusing) StoreAll(ctx context.Context, all []*events.Event, errs []error) {
	for i, e := range all {
		errs[i] = r.Store(ctx, e)
	}
}

// TestSharedDuplicates holds Events 198 for several gateways: each batch asks once, those that came to another are
// dropped and counted, and others hear of what was published alone.
func TestSharedDuplicates(t *testing.T) {
	shared := new(together)
	gateways := []*collected{collect(t, &transomv1.Behaviour{Delivery: transomv1.EventRule_AT_LEAST_ONCE}), collect(t, nil)}
	for _, c := range gateways {
		c.Shared = shared
	}
	n := func(c *collected, body string, accepted int) int {
		t.Helper()
		result, got := c.take(t, &Client{}, body)
		if result.Accepted != accepted {
			t.Errorf("%s: %+v", body, result)
		}
		return len(got)
	}
	const batch = `[{"type": "user.a", "messageId": "m1"}, {"type": "user.b"}, {"type": "user.c", "messageId": "m2", "anonymousId": "a"}, {"type": "user.d", "messageId": "m3"}]`
	first, second := gateways[0], gateways[1]
	publisher := first.Publisher
	first.Publisher = refusing{publisher, "m1"}
	if n(first, batch, 1) != 1 || shared.asks != 1 || !slices.Equal(shared.ids, []string{"m1"}) {
		t.Errorf("%d asked, %q remembered", shared.asks, shared.ids)
	}
	first.Publisher = publisher
	if n(second, batch, 4) != 3 || second.counts["dropped duplicate"] != 1 || len(shared.ids) != 3 {
		t.Errorf("%v, %q remembered", second.counts, shared.ids)
	}
	// What could not be stored was taken by the other meanwhile; here it is new, and that without a message_id always is.
	if n(first, batch, 4) != 1 || first.counts["dropped duplicate"] != 3 {
		t.Errorf("%v", first.counts)
	}
	if asks := shared.asks; n(first, `{"type": "user.e"}`, 1) != 1 || shared.asks != asks {
		t.Error("asked for an event that has no id of its own")
	}
	shared.err = errors.New("away")
	if n(second, `{"type": "user.f", "messageId": "m4"}`, 1) != 1 || n(second, `{"type": "user.f", "messageId": "m4"}`, 1) != 0 {
		t.Error("a store that is away: the gateway's own memory does not hold")
	}
}

// TestSharedAfterLeaving: the events of a page that is left, whose request is given up, are remembered.
func TestSharedAfterLeaving(t *testing.T) {
	shared := new(together)
	c := collect(t, nil)
	c.Shared = shared
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Take(ctx, &Client{}, &Batch{Events: []*transomv1.UserEvent{{Type: "user.a", MessageId: "m1"}}})
	if len(shared.ids) != 1 {
		t.Error("not remembered")
	}
}

// TestSharedBound: a flood of ids does not fill the store: a gateway tells it as many in ten minutes as it remembers.
func TestSharedBound(t *testing.T) {
	shared := new(together)
	c := collect(t, nil)
	c.Shared, c.Memory.most = shared, 10
	at := now
	c.Now = func() time.Time { return at }
	send := func(from int) {
		for i := range 30 {
			c.take(t, &Client{}, fmt.Sprintf(`{"type": "user.a", "messageId": "m%d"}`, from+i))
		}
	}
	if send(0); len(shared.ids) != 20 {
		t.Errorf("%d remembered", len(shared.ids))
	}
	at = at.Add(Window)
	if send(100); len(shared.ids) != 40 {
		t.Errorf("%d remembered after ten minutes", len(shared.ids))
	}
}
