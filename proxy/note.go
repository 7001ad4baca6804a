package proxy

import (
	"sync"
	"time"
)

// Note is what a service of the gateway itself says of a message to edges that have a place for it.
// One note may be of many frames; it is not to be changed.
type Note struct {
	// ID is what a client sends to go on behind the message, Name what the message is called; "" for
	// neither.
	ID, Name string
	// Data is the message as JSON on one line, as server-sent events have it; nil for none.
	Data []byte
	// Retry is how long a client waits before it comes back; 0 for its own time.
	Retry time.Duration

	texts
}

// Run is messages that are at hand at once, each with a note. Many clients may get one run; it is not to be
// changed.
type Run struct {
	Frames []Frame
	// bytes is the size of all, which is added up once.
	bytes int64

	texts
}

// NewRun makes a run.
func NewRun(frames []Frame) *Run {
	r := &Run{Frames: frames}
	for _, f := range frames {
		r.bytes += int64(f.Len())
	}
	return r
}

// runStream is a Stream whose messages come in runs. It knows whether RecvRun returns at once. Nobody reads ahead
// of the client then, which costs a goroutine for each stream and a change of goroutines for each message.
type runStream interface {
	Ready() bool
	// RecvRun is Recv for all that is at hand.
	RecvRun() (*Run, error)
}

// runDownstream is a Downstream that writes a run faster than its messages one by one.
type runDownstream interface {
	// ExpectRuns is called before all else that comes of the backend.
	ExpectRuns()
	// SendRun is Send for each message of the run.
	SendRun(r *Run) error
}

// texts are what edges have made of something that they share.
type texts struct {
	mu  sync.Mutex
	all []textOf
}

// textOf is the text of one edge.
type textOf struct {
	of   any
	text []byte
}

// maxTexts is how many texts are kept.
const maxTexts = 4

// Text returns the text that make makes once for what it is of.
func (t *texts) Text(of any, make func() ([]byte, error)) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.all {
		if f.of == of {
			return f.text, nil
		}
	}
	text, err := make()
	if err == nil && len(t.all) < maxTexts {
		t.all = append(t.all, textOf{of, text})
	}
	return text, err
}

// WithNote returns the frame with a note.
func (f Frame) WithNote(n *Note) Frame {
	f.note = n
	return f
}

// Note is what the frame's sender says of it; nil for nothing.
func (f Frame) Note() *Note { return f.note }
