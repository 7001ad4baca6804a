package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/events/log"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Stream is what one client gets: a place in what all get. One goroutine uses it.
type Stream struct {
	class *class
	rule  *rule  // of the configuration that it began with
	next  uint64 // the offset of the event that may come next
	begun bool
	reset string // why it does not go on where the client asked
	// live: it has come to the newest event once. What it misses then, it misses by being slow.
	live bool
	over bool
	// ahead are events that were read for it alone.
	ahead []*entry
}

func (h *Hub) newStream(rules *Rules, c *class, from string) *Stream {
	s := &Stream{class: c, rule: rules.topics[c.rule.topic]}
	stats := h.options.Log.Stats()
	switch from {
	case "":
		s.next, _ = h.ring.end()
		// What is durable now was published before, and the ring may not have it yet.
		s.next = max(s.next, stats.Next)
	case earliest:
		s.next = stats.First
	default:
		s.next, s.reset = h.signer.parse(c.rule.topic, from)
		switch {
		case s.reset == "" && s.next < stats.First:
			s.reset = tooOld
		case s.reset == "" && s.next > stats.Next:
			s.reset = unknown // the log was cut, as by a disk that has lost what it had synced
		}
		if s.reset != "" {
			s.next = stats.Next
			h.stats.resetFor(s.reset).Add(1)
		}
	}
	return s
}

func (c *counters) resetFor(reason string) *atomic.Uint64 {
	switch reason {
	case tooOld:
		return &c.tooOld
	case otherTopic:
		return &c.otherTopic
	}
	return &c.unknownAt
}

// Close ends the stream.
func (s *Stream) Close() { s.class.leave() }

// Cursor is where the stream is.
func (s *Stream) Cursor() string { return s.class.hub.signer.cursor(s.class.rule.topic, s.next) }

// Next waits for what comes next, and returns all that is at hand. Once leave is closed, the client is told to come
// back. io.EOF follows an item that tells of the end. Any other error is that of ctx, or of a log that cannot be read.
func (s *Stream) Next(ctx context.Context, leave <-chan struct{}) (*Run, error) {
	switch {
	case s.over:
		return nil, io.EOF
	case !s.begun:
		s.begun = true
		return s.tell("begin", nil, nil), nil
	case s.reset != "":
		m := &transomv1.StreamReset{Reason: s.reset}
		document := fmt.Sprintf(`{"reason":%q}`, s.reset)
		s.reset = ""
		return s.tell("reset", &transomv1.SubscribeResponse{Kind: &transomv1.SubscribeResponse_Reset_{Reset_: m}}, []byte(document)), nil
	}
	for {
		run, err := s.run(ctx, leave)
		switch {
		case errors.Is(err, errLeave):
			s.over = true
			return s.tell("reconnect", &transomv1.SubscribeResponse{Kind: &transomv1.SubscribeResponse_Reconnect{Reconnect: &transomv1.StreamReconnect{}}}, []byte("{}")), nil
		case errors.Is(err, errSlow):
			s.over = true
			return s.tell("lagged", &transomv1.SubscribeResponse{Kind: &transomv1.SubscribeResponse_Lagged{Lagged: &transomv1.StreamLagged{}}}, []byte("{}")), nil
		case err != nil:
			return nil, err
		case run.run != nil:
			s.next = run.next
			s.class.hub.stats.sent.Add(uint64(len(run.run.Items)))
			return run.run, nil
		}
	}
}

// Ready reports whether Next returns at once, as something is at hand for the client. Where it is not sure, it says no:
// what the client has been sent until then is not to wait for what may never come.
func (s *Stream) Ready() bool {
	return s.over || !s.begun || s.reset != "" || len(s.ahead) > 0 || s.class.has(s.next)
}

var (
	errLeave = errors.New("the client is to come back")
	errSlow  = errors.New("the client is too slow")
)

// tell makes an item that is no event.
func (s *Stream) tell(name string, m *transomv1.SubscribeResponse, document []byte) *Run {
	if m == nil {
		m = &transomv1.SubscribeResponse{}
	}
	m.Cursor = s.Cursor()
	item := &Item{Cursor: m.GetCursor(), Name: name, Message: marshal(m), JSON: document}
	if outer := s.class.hub.options.Outer; outer != nil {
		item.Outer = outer(item)
	}
	return s.class.hub.newRun([]*Item{item})
}

// run returns the next events, or none where it is to be asked again.
func (s *Stream) run(ctx context.Context, leave <-chan struct{}) (place, error) {
	if err := ctx.Err(); err != nil {
		return place{}, err
	}
	if s.leaves(leave) {
		return place{}, errLeave
	}
	if len(s.ahead) > 0 {
		part := firstRun(s.ahead)
		run := s.alone(part)
		clear(part)
		if s.ahead = s.ahead[len(part):]; len(s.ahead) == 0 {
			s.ahead = nil
		}
		return run, nil
	}
	run, alone, grown, head, ok := s.class.next(s.next)
	switch {
	case !ok:
		return place{}, s.behind(ctx, head)
	case run.run != nil:
		return run, nil
	case len(alone) > 0:
		return s.alone(alone), nil
	}
	s.live = true
	s.next = max(s.next, head)
	if s.leaves(leave) { // what has closed an earlier grown
		return place{}, errLeave
	}
	select {
	case <-grown:
		return place{}, nil
	case <-leave:
		return place{}, errLeave
	case <-ctx.Done():
		return place{}, ctx.Err()
	}
}

// leaves reports whether the client is to come back. What is the same for many clients closes their class's grown,
// too: each channel that a stream waits for costs it something each time that it wakes.
func (s *Stream) leaves(leave <-chan struct{}) bool {
	select {
	case <-leave:
	case <-s.rule.gone:
	case <-s.class.hub.ctx.Done():
	default:
		return false
	}
	return true
}

// alone makes a run of entries for this client.
func (s *Stream) alone(entries []*entry) place {
	return place{run: s.class.hub.newRun(s.class.rule.items(entries)), first: entries[0].offset, next: entries[len(entries)-1].offset + 1}
}

// behind gets events that the class does not have at hand any more, those before the offset end:
// of the ring, or of the log.
func (s *Stream) behind(ctx context.Context, end uint64) error {
	if s.live && s.class.rule.slow == transomv1.EventStream_CONFLATE {
		end, _ = s.class.hub.ring.end()
		return s.conflate(ctx, end)
	}
	h := s.class.hub
	for s.next < end && len(s.ahead) == 0 {
		batch, next, ok := h.ring.from(nil, s.next, turnEvents)
		if !ok {
			if err := s.slow(); err != nil {
				return err
			}
			return s.readLog(ctx, end, s.keep)
		}
		for _, e := range batch {
			if s.class.matches(e) {
				s.ahead = append(s.ahead, e)
			}
		}
		s.pass(next)
	}
	return nil
}

// slow counts a client that is behind what is in memory, and has its stream end where the rule says so.
func (s *Stream) slow() error {
	if !s.live {
		return nil // it asked for what is old
	}
	h := s.class.hub
	if s.class.rule.slow == transomv1.EventStream_DISCONNECT {
		h.stats.dropped.Add(1)
		return errSlow
	}
	h.stats.caughtUp.Add(1)
	s.live = false // until it has caught up
	return nil
}

// pass says that the stream is at an offset when what is ahead is sent.
func (s *Stream) pass(next uint64) {
	if len(s.ahead) == 0 {
		s.next = next
	}
}

// keep has an event sent.
func (s *Stream) keep(e *entry) { s.ahead = append(s.ahead, e) }

// readLog calls each with events of the log, up to the offset end or the bounds of a turn.
func (s *Stream) readLog(ctx context.Context, end uint64, each func(*entry)) error {
	h := s.class.hub
	n, size := 0, 0
	next, err := h.readers.read(ctx, s.next, end, func(r log.Record) bool {
		if e := h.entry(r); e != nil && s.class.matches(e) {
			each(e)
			n, size = n+1, size+len(r.Body)
		}
		return n < turnEvents && size < turnBytes
	})
	s.pass(next)
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, log.ErrClosed) || h.ctx.Err() != nil:
		return errLeave
	}
	return err
}

// maxConflated is how many keys are remembered while the last events of each are looked for.
const maxConflated = 4096

// conflate keeps, of the events up to the offset end, the last of each key, and those without one.
func (s *Stream) conflate(ctx context.Context, end uint64) error {
	s.class.hub.stats.conflated.Add(1)
	last := map[string]int{}
	var all []*entry
	each := func(e *entry) {
		if key := e.event.Key; key != "" {
			if i, has := last[key]; has {
				all[i] = nil
			}
			last[key] = len(all)
		}
		all = append(all, e)
	}
	at := s.next
	for s.next < end && len(last) < maxConflated && len(all) < 2*maxConflated {
		batch, next, ok := s.class.hub.ring.from(nil, s.next, readBatch)
		if !ok {
			if err := s.readLog(ctx, end, each); err != nil {
				s.next = at
				return err
			}
			continue
		}
		for _, e := range batch {
			if e.offset < end && s.class.matches(e) {
				each(e)
			}
		}
		s.next = min(next, end)
	}
	for _, e := range all {
		if e != nil {
			s.ahead = append(s.ahead, e)
		}
	}
	return nil
}

// Retry is how long a client waits before it comes back, not all at once.
func Retry() time.Duration {
	return time.Second + rand.N(2*time.Second) //nolint:gosec // it spreads clients
}
