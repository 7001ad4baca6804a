package subscription

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// Verdict is what a code means for a message.
type Verdict int

// The verdicts.
const (
	// Done: the message was dealt with.
	Done Verdict = iota
	// Retry: another attempt may succeed.
	Retry
	// Dead: no other attempt will.
	Dead
)

// VerdictOf is what codes mean where nothing else is said.
func VerdictOf(code codes.Code) Verdict {
	switch code {
	case codes.OK, codes.AlreadyExists:
		return Done
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Unknown, codes.Internal, codes.Canceled:
		return Retry
	default:
		return Dead
	}
}

// Between attempts.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 30 * time.Second
)

// deal calls the method until the message is done; it reports false where the partition
// ends before.
func (p *Partition) deal(m *Message) bool {
	attempts := 0
	for step := 0; ; step++ {
		if !p.o.Switch.waitOn(p.stopping) {
			return false
		}
		r := p.o.Call(p.ctx, m, attempts+1)
		if p.o.Observer != nil && r.Reason == "" {
			p.o.Observer.Attempt(p.o.Name, r.Code)
		}
		if !r.NotReached && r.Reason == "" {
			attempts++
		}
		verdict := p.verdict(r)
		switch {
		case p.ctx.Err() != nil && verdict != Done:
			return false // the call was ended by us
		case verdict == Done:
			p.ended(m, "done")
			return true
		case verdict == Dead, p.exhausted(m, attempts, r):
			again, ok := p.give(m, r, attempts)
			if !again {
				return ok
			}
			attempts, step = 0, -1
			continue
		}
		if !p.wait(pause(step, r.RetryAfter)) {
			return false
		}
	}
}

// verdict is what the end of a call means.
func (p *Partition) verdict(r Result) Verdict {
	if r.Reason != "" {
		return Dead
	}
	return p.o.Verdict(r.Code)
}

// exhausted reports whether there is no other attempt.
func (p *Partition) exhausted(m *Message, attempts int, r Result) bool {
	if r.NotReached { // attempts are not used up while nobody is there
		return false
	}
	return p.o.MaxAttempts > 0 && attempts >= p.o.MaxAttempts ||
		p.o.MaxAge > 0 && !m.at().IsZero() && time.Since(m.at()) > p.o.MaxAge
}

// pause is how long to wait before the attempt behind step.
func pause(step int, asked time.Duration) time.Duration {
	if asked > 0 {
		return min(asked, longestWait)
	}
	most := longestWait
	if step < 9 {
		most = min(firstWait<<step, longestWait)
	}
	return rand.N(most) + 1 //nolint:gosec // it spreads attempts
}

// wait waits, and reports false if the partition ends before.
func (p *Partition) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stopping.Done():
		return false
	}
}

// give gives a message up as OnExhausted says. again tells to begin anew with it, done that it
// is dealt with.
func (p *Partition) give(m *Message, r Result, attempts int) (again, done bool) {
	said := []any{
		"subscription", p.o.Name, "partition", m.Partition, "offset", m.number(), "type", m.Event.Type, "id", m.Event.ID,
		"attempts", attempts, "code", r.Code.String(), "message", r.Message,
	}
	if r.Reason != "" {
		said = append(said, "reason", r.Reason)
	}
	switch p.o.OnExhausted {
	case Pause:
		p.o.Logger.Error("a message does not succeed, and waits until it is resumed; those of its lane wait, too", said...)
		return p.paused.wait(p.stopping), false
	case Skip:
		p.o.Logger.Error("a message does not succeed, and is skipped", said...)
		p.ended(m, "skipped")
		return false, true
	default:
		p.o.Logger.Warn("a message does not succeed, and becomes a dead letter", said...)
		return false, p.bury(m, r, attempts)
	}
}

// bury writes a dead letter, as often as that takes; it reports false where the partition
// ends before.
func (p *Partition) bury(m *Message, r Result, attempts int) bool {
	for step := 0; p.stopping.Err() == nil; step++ {
		err := p.o.Dead(p.ctx, m, r, attempts)
		if err == nil {
			p.ended(m, "dead")
			return true
		}
		p.o.Logger.Error("a dead letter cannot be written; its message waits", "subscription", p.o.Name, "partition", m.Partition, "offset", m.number(), "error", err)
		if !p.wait(pause(step, 0)) {
			break
		}
	}
	return false
}

// ended tells how a message has ended.
func (p *Partition) ended(m *Message, how string) {
	if m.Done != nil {
		m.Done(how)
	}
	if p.o.Observer != nil {
		p.o.Observer.Ended(p.o.Name, how)
	}
}
