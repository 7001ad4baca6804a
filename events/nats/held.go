package nats

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// held are the messages that a member has and has not acknowledged.
type held struct {
	answers *answers

	mu  sync.Mutex
	all map[jetstream.Msg]bool
}

func (h *held) hold(m jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[m] = true
}

// end acknowledges a message, which is given to nobody again. One whose acknowledgement is lost is.
func (h *held) end(m jetstream.Msg, how string) {
	h.mu.Lock()
	delete(h.all, m)
	h.mu.Unlock()
	switch how {
	case "dead":
		_ = m.TermWithReason("dead letter")
	default:
		_ = m.Ack()
	}
	h.answers.ended(m.Reply())
}

// refresh tells the server from time to time that the messages are under way (Events 176).
func (h *held) refresh(ctx context.Context) {
	again := time.NewTicker(ackWait / 3)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		for _, m := range h.list() {
			_ = m.InProgress()
		}
	}
}

// giveBack has the server give the messages to another member at once, in their order.
func (h *held) giveBack() {
	all := h.list()
	slices.SortFunc(all, func(a, b jetstream.Msg) int { return cmp.Compare(sequence(a), sequence(b)) })
	for _, m := range all {
		if m.Nak() != nil {
			h.answers.givenBack(m.Reply())
		}
	}
}

// sequence is the number of a message in its stream.
func sequence(m jetstream.Msg) uint64 {
	meta, err := m.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}

func (h *held) list() (all []jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.all {
		all = append(all, m)
	}
	return all
}

// answers are the last ones that a server was told of messages. Those that got lost with a connection are told again by the
// next: until then the server would give the messages nobody for ackWait, and hold the later ones of their keys up. The zero
// value has none.
type answers struct {
	mu      sync.Mutex
	created time.Time // when the consumer was made that they are for
	last    []answer
	oldest  int // where the next one goes
}

type answer struct {
	to   string // the subject on which the server waits for it
	body string
}

// ended notes that a message has been acknowledged, or has ended otherwise.
func (a *answers) ended(to string) { a.note(answer{to, "+ACK"}) }

// givenBack notes that the server could not be told that a message is for another member.
func (a *answers) givenBack(to string) { a.note(answer{to, "-NAK"}) }

func (a *answers) note(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.last) < mostPending {
		a.last = append(a.last, one)
		return
	}
	a.last[a.oldest] = one
	a.oldest = (a.oldest + 1) % len(a.last)
}

// again tells them again, unless they were for a consumer that is no more, and reports whether there were any. Of a message
// that the server knows the end of it takes none.
func (a *answers) again(conn *nats.Conn, created time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Concat(a.last[a.oldest:], a.last[:a.oldest])
	a.last, a.oldest = nil, 0
	if was := a.created; !was.Equal(created) {
		a.created = created
		return false
	}
	for _, one := range all {
		_ = conn.Publish(one.to, []byte(one.body)) // what gets lost again comes again after ackWait
	}
	return len(all) > 0
}
