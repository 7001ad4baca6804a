package subscription

import "sync"

// lane is where messages wait for their turn. Partition.room bounds what waits; a lane has memory for what waits indeed, as a
// gateway may have thousands of subscriptions of many lanes each.
type lane struct {
	mu      sync.Mutex
	waiting []*Message
	head    int           // of waiting: those before it are gone
	some    chan struct{} // has a token while something waits
}

func newLane() *lane { return &lane{some: make(chan struct{}, 1)} }

// add has a message wait behind the others.
func (l *lane) add(m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, m)
	l.signal()
}

// signal says that something waits. l.mu is locked.
func (l *lane) signal() {
	select {
	case l.some <- struct{}{}:
	default:
	}
}

// next waits for the first message, and returns nil once stopping is closed. Several may wait.
func (l *lane) next(stopping <-chan struct{}) *Message {
	for {
		if m := l.take(); m != nil {
			return m
		}
		select {
		case <-l.some:
		case <-stopping:
			return nil
		}
	}
}

// laneKept is how many places a lane keeps that has nothing to wait.
const laneKept = 16

// take is the first message; nil for none.
func (l *lane) take() *Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.waiting) {
		return nil
	}
	m := l.waiting[l.head]
	l.waiting[l.head] = nil
	switch l.head++; {
	case l.head < len(l.waiting):
		if l.head > laneKept && l.head > len(l.waiting)/2 {
			n := copy(l.waiting, l.waiting[l.head:])
			clear(l.waiting[n:])
			l.waiting, l.head = l.waiting[:n], 0
		}
		l.signal() // for another one
	case cap(l.waiting) > laneKept:
		l.waiting, l.head = nil, 0
	default:
		l.waiting, l.head = l.waiting[:0], 0
	}
	return m
}
