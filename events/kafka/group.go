package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events/subscription"
)

// mostWaiting is how many records of a partition wait to be taken before no more are fetched. What
// has been fetched by then comes in addition.
const mostWaiting = 64

// handler is what a member does with the partitions that it gets.
type handler struct {
	source *Source
	member *member
	work   *subscription.Work
	ctx    context.Context //nolint:containedctx // that of Run, for which it lives

	session atomic.Pointer[context.Context]
	open    atomic.Int32 // partitions
	last    sync.Once    // when the last one is closed at the end
}

var _ sarama.ConsumerGroupHandler = (*handler)(nil)

// Setup implements sarama.ConsumerGroupHandler.
func (h *handler) Setup(s sarama.ConsumerGroupSession) error {
	ctx := s.Context()
	h.session.Store(&ctx)
	h.work.Well()
	return nil
}

// Cleanup implements sarama.ConsumerGroupHandler.
func (*handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// lost says why the session has ended; nil where it has not.
func (h *handler) lost() error {
	if ctx := h.session.Load(); ctx != nil {
		return context.Cause(*ctx)
	}
	return nil
}

// ending bounds what the member does when Run shall end and its partitions are closed.
func (h *handler) ending() {
	if h.ctx.Err() != nil && h.open.Load() == 0 {
		h.last.Do(func() { time.AfterFunc(leaveTime, h.member.dialer.cut) })
	}
}

// ConsumeClaim implements sarama.ConsumerGroupHandler.
func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	h.open.Add(1)
	defer h.ending()
	defer h.open.Add(-1)
	topic, id, from := claim.Topic(), claim.Partition(), claim.InitialOffset()
	if from < 0 {
		var err error
		if from, err = h.member.client.GetOffset(topic, id, sarama.OffsetOldest); err != nil {
			return err
		}
		h.source.log.Warn("a partition that has no place of the group, or one that is gone, is read from its oldest record", "topic", topic, "partition", id, "offset", from)
		session.MarkOffset(topic, id, from, "") // so that it has one (Events 173)
	}
	p := h.work.Open(id, from, func(next int64) { session.MarkOffset(topic, id, next, "") })
	h.source.claims.add(id)
	defer h.source.claims.remove(id)
	defer func() { h.work.Close(p, h.release()) }()
	h.feed(session.Context(), p, claim)
	return nil
}

// release is how long calls may last whose partition is closed (Events 171). Where the group has
// given it to another member they end at once.
func (h *handler) release() time.Duration {
	cause := h.lost()
	switch {
	case h.ctx.Err() != nil:
		return 0 // for as long as the subscription has
	case errors.Is(cause, sarama.ErrUnknownMemberId), errors.Is(cause, sarama.ErrIllegalGeneration), errors.Is(cause, sarama.ErrFencedInstancedId):
		return time.Millisecond
	}
	return h.source.what.Release
}

// feed has a partition take records until the claim ends. While too many wait, no others are
// fetched of this partition.
func (h *handler) feed(session context.Context, p *subscription.Partition, claim sarama.ConsumerGroupClaim) {
	ctx, cancel := context.WithCancel(h.ctx)
	next := make(chan *sarama.ConsumerMessage)
	var taking sync.WaitGroup
	taking.Go(func() {
		for m := range next {
			h.take(ctx, p, m)
		}
	})
	defer taking.Wait()
	defer close(next)
	defer cancel()
	of := map[string][]int32{claim.Topic(): {claim.Partition()}}
	var waiting []*sarama.ConsumerMessage
	for {
		var to chan<- *sarama.ConsumerMessage
		var first *sarama.ConsumerMessage
		if len(waiting) > 0 {
			to, first = next, waiting[0]
		}
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return
			}
			if waiting = append(waiting, m); len(waiting) == mostWaiting {
				h.member.group.Pause(of)
			}
		case to <- first:
			waiting[0] = nil
			if waiting = waiting[1:]; len(waiting) == 0 {
				waiting = nil
				h.member.group.Resume(of)
			}
		case <-session.Done():
			return
		}
	}
}

// take gives a record to its partition.
func (h *handler) take(ctx context.Context, p *subscription.Partition, r *sarama.ConsumerMessage) {
	if ctx.Err() != nil {
		return // it comes again
	}
	m := h.source.message(r)
	if m.Unreadable == "" && !h.work.Takes(m.Event.Type) {
		p.Pass(m.Offset)
		return
	}
	_ = p.Take(ctx, m) // or it comes again
}

// lookAgain is how long after an error the cluster is asked whether all is well.
const lookAgain = time.Second

// watch notes what goes wrong while the member works, and when that is over. It ends with the
// group.
func (h *handler) watch() {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	ill := false
	for {
		select {
		case err, ok := <-h.member.group.Errors():
			if !ok {
				return
			}
			if h.ctx.Err() == nil {
				ill = true
				h.work.Failed(h.source.away(h.member.dialer.why(err)))
			}
		case <-look.C:
			if ill && h.lost() == nil && h.source.reachable(h.ctx) {
				ill = false
				h.work.Well()
			}
		}
	}
}

// claimed are the partitions that the member has.
type claimed struct {
	mu  sync.Mutex
	all map[int32]bool
}

func (c *claimed) add(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[int32]bool{}
	}
	c.all[id] = true
}

func (c *claimed) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, id)
}

func (c *claimed) has(id int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[id]
}
