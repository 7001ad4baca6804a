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

	mu    sync.Mutex
	forms []noteForm
}

// noteForm is the message as one edge writes it.
type noteForm struct {
	of   any
	text []byte
}

// maxForms is how many forms of a message are kept.
const maxForms = 4

// Text returns the message as text, which make makes once for what it is of.
func (n *Note) Text(of any, make func() ([]byte, error)) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.forms {
		if f.of == of {
			return f.text, nil
		}
	}
	text, err := make()
	if err == nil && len(n.forms) < maxForms {
		n.forms = append(n.forms, noteForm{of, text})
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
