package nats

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events/subscription"
)

// backAgain is when messages that a member had under way, which is gone, have come back: the server gives them
// again when ackWait is over, a little later where it is busy.
const backAgain = ackWait + 2*time.Second

// before are the messages that a consumer had under way when a member of it began. Where the one that had them was killed,
// the server gives them again only after ackWait, and would give later ones of their keys at once, and first those of them that a
// member has given back. So all are kept until then, and go on in their order.
// The zero value is of a consumer that had none.
type before struct {
	last  uint64          // the sequence of the last message that was given
	want  int             // how many were under way
	again map[uint64]bool // those that have come again
	until time.Time       // when they all have come again
	kept  []jetstream.Msg // they, and later ones
	later int             // how many of these are later
}

// beforeOf is what a consumer has under way, where the order of keys asks for it.
func beforeOf(order subscription.Order, info *jetstream.ConsumerInfo, now time.Time) before {
	if order != subscription.ByKey {
		return before{}
	}
	return before{last: info.Delivered.Stream, want: info.NumAckPending, until: now.Add(backAgain), again: map[uint64]bool{}}
}

// waits reports whether some have not come again.
func (b *before) waits() bool { return len(b.again) < b.want }

// keeps reports whether it keeps a message, which waits for others.
func (b *before) keeps(m jetstream.Msg) bool {
	if !b.waits() && len(b.kept) == 0 {
		return false
	}
	meta, err := m.Metadata()
	if err != nil {
		return false
	}
	if at := meta.Sequence.Stream; at <= b.last {
		b.again[at] = true
	} else {
		b.later++
	}
	b.kept = append(b.kept, m)
	return true
}

// release returns the messages that it has kept, in the order of their stream, and keeps no others. Of one that has come
// twice it returns both.
func (b *before) release() []jetstream.Msg {
	kept := b.kept
	slices.SortStableFunc(kept, func(x, y jetstream.Msg) int { return cmp.Compare(sequence(x), sequence(y)) })
	*b = before{}
	return kept
}

// full reports whether it keeps as many later ones as it should.
func (b *before) full() bool { return b.later >= fetchMost }

// isLate reports whether those that have not come again should have.
func (b *before) isLate(now time.Time) bool { return b.waits() && !now.Before(b.until) }

// settled reports whether what was under way is no more: all that the server still waits for is ours, which are held.
func (b *before) settled(ctx context.Context, consumer jetstream.Consumer, held int) (bool, error) {
	if !b.waits() {
		return true, nil
	}
	info, err := consumer.Info(ctx)
	return err == nil && info.NumAckPending <= held, err
}

// pause waits a moment, where no more messages are to be fetched: until then.
func (b *before) pause(ctx context.Context) {
	_ = wait(ctx, min(time.Second, max(time.Until(b.until), 0))) // whoever calls asks the context itself
}
