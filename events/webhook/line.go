package webhook

import (
	"errors"
	"fmt"
	"sync"

	"github.com/transom-gateway/transom/events"
)

// line has the events of a delivery as they wait to be sent, in their order, those of a key one after another.
type line struct {
	batch []*events.Event
	keys  []int // the number of each event's key; 0 for none
	// documents are those in which events were sent in vain: one that is sent again holds the same events, so that it has
	// the same webhook-id.
	documents []string

	mu     sync.Mutex
	change sync.Cond
	over   []bool  // that are under way, or have an outcome
	first  int     // none before it waits
	busy   []bool  // the keys that are under way, by their numbers
	held   []error // why a key is held up
	last   error   // of a request that was in vain
}

func newLine(batch []*events.Event, before map[string]trouble) *line {
	l := &line{batch: batch, documents: make([]string, len(batch)), keys: make([]int, len(batch)), over: make([]bool, len(batch))}
	numbers := map[string]int{"": 0}
	for i, e := range batch {
		n, ok := numbers[e.Key]
		if !ok {
			n = len(numbers)
			numbers[e.Key] = n
		}
		l.keys[i], l.documents[i] = n, before[e.ID].document
	}
	l.busy, l.held = make([]bool, len(numbers)), make([]error, len(numbers))
	l.change.L = &l.mu
	return l
}

// take takes the first events that may be sent, as many as one request may have, and waits for them. It returns none
// when none will come. Events of which not says why not get that error.
func (l *line) take(most, mostBytes int, errs []error, not func(i int) error) (part []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		part, wait := l.free(most, mostBytes, errs, not)
		if len(part) > 0 || !wait {
			return part
		}
		l.change.Wait()
	}
}

// free takes what may be sent now, and reports whether there will be more.
func (l *line) free(most, mostBytes int, errs []error, not func(i int) error) (part []int, wait bool) {
	size := 0
	for i := l.first; i < len(l.batch); i++ {
		if l.over[i] {
			if i == l.first {
				l.first++
			}
			continue
		}
		key := l.keys[i]
		if l.busy[key] {
			wait = true
			continue
		}
		if l.outOf(i, errs, not) {
			continue
		}
		size += len(l.batch[i].Data) + 512
		if len(part) > 0 && (size > mostBytes || l.documents[i] != l.documents[part[0]]) {
			break
		}
		l.over[i], part = true, append(part, i)
		if len(part) == most {
			break
		}
	}
	for _, i := range part {
		l.busy[l.keys[i]] = l.keys[i] != 0
	}
	return part, wait
}

// outOf reports whether an event is not sent, and notes why.
func (l *line) outOf(i int, errs []error, not func(i int) error) bool {
	key := l.keys[i]
	if why := l.held[key]; why != nil {
		l.over[i], errs[i] = true, why
		return true
	}
	if why := not(i); why != nil {
		l.over[i], errs[i] = true, why
		l.hold(key, why)
		return true
	}
	return false
}

// hold has no event of a key sent.
func (l *line) hold(key int, why error) {
	if key != 0 && l.held[key] == nil {
		l.held[key] = fmt.Errorf("it waits for another of its key: %w", why)
	}
}

// release notes the outcome of a request.
func (l *line) release(part []int, errs []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range part {
		l.busy[l.keys[i]] = false
		if errs[i] != nil && !errors.Is(errs[i], events.ErrRejected) {
			l.last = errs[i]
			l.hold(l.keys[i], errs[i])
		}
	}
	l.change.Broadcast()
}

// rest has what was not sent fail as others did.
func (l *line) rest(errs []error) {
	for i := range l.batch {
		if !l.over[i] {
			errs[i] = l.last
		}
	}
}
