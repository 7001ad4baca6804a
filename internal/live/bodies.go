package live

import (
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// MaxText is how much is kept of the messages of a call each way, in bytes, and maxMessages how many.
	MaxText     = 8 << 10
	maxMessages = 20
	// maxHeld is how many calls have messages kept at once, those that are under way included: with MaxText both ways and what waits
	// for a watch this bounds the memory that they take.
	maxHeld = 1024
)

// Bodies are the first messages of a call, each way. They are safe for concurrent use.
type Bodies struct {
	hub *Hub

	mu    sync.Mutex
	sides [2][]string
	sizes [2]int
	cut   bool
}

// Kept is what the Bodies of a call are kept under while it is under way.
type Kept struct{}

// The sides of a call.
const (
	Request = iota
	Response
)

// Capturing reports whether anybody watches messages.
func (h *Hub) Capturing() bool { return h.bodies.Load() > 0 }

// Capture begins to keep messages of a call. It is nil where nobody watches messages, where more calls have some than may, and behind
// the MaxPerSecond first of a second.
func (h *Hub) Capture() *Bodies {
	if !h.Capturing() {
		return nil
	}
	if second := time.Now().Unix(); h.second.Swap(second) != second {
		h.captured.Store(0)
	}
	if h.captured.Add(1) > MaxPerSecond {
		return nil
	}
	if h.held.Add(1) > maxHeld {
		h.held.Add(-1)
		return nil
	}
	return &Bodies{hub: h}
}

// Wants reports whether a further message of a side may be kept, and notes that there was one where not.
func (b *Bodies) Wants(side int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := b.sizes[side] < MaxText && len(b.sides[side]) < maxMessages
	b.cut = b.cut || !more
	return more
}

// Cut notes that a message is not kept.
func (b *Bodies) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = true
}

// Add keeps a message in JSON, as much of it as there is room for.
func (b *Bodies) Add(side int, text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := MaxText - b.sizes[side]; len(text) > room {
		b.cut = true
		for room > 0 && !utf8.RuneStart(text[room]) {
			room--
		}
		text = text[:room]
	}
	if len(text) == 0 {
		return
	}
	b.sizes[side] += len(text)
	b.sides[side] = append(b.sides[side], string(text))
}

// End puts the messages into the call's record, if there is one, and gives their place back.
func (b *Bodies) End(r *Record) {
	b.hub.held.Add(-1)
	if r == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Messages = &Messages{Request: b.sides[Request], Response: b.sides[Response], Cut: b.cut}
}
