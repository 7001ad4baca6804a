package proxy

import (
	"sync"
	"sync/atomic"
)

// Forms are what edges have made of a message that is given again and again, so that it is made
// once. They are of one message, of which there may be many frames, and safe for concurrent use.
type Forms struct {
	room Room
	mu   sync.Mutex
	list atomic.Pointer[[]*Form] // immutable
}

// Form is a message as an edge writes it. It is not to be changed.
type Form struct {
	// Of is what the edge makes.
	Of *FormKind
	// Encoding is the Content-Encoding of Text, "" for none.
	Encoding string
	Text     []byte
	// ETag is the value of that header; nil where there is none.
	ETag []string
}

// FormKind tells kinds of forms apart, by its address.
type FormKind struct{ _ byte }

// mostForms is how many forms of a message are kept: those for which nobody asks any more, as the
// configuration is another one, give way.
const mostForms = 8

// formBytes is what a form takes beside its text, with its place in the list.
const formBytes = 200

// Room is the memory that Forms may take.
type Room interface {
	// Take takes bytes of it, or gives them back where they are below zero. It reports false, and
	// takes nothing, where there are not so many.
	Take(bytes int) bool
}

// NewForms returns Forms without any.
func NewForms(room Room) *Forms { return new(Forms).Init(room) }

// Init has Forms, which nobody else uses yet, take their memory from a room, and returns them.
func (f *Forms) Init(room Room) *Forms {
	f.room = room
	return f
}

// Get returns a form; nil where there is none yet.
func (f *Forms) Get(of *FormKind, encoding string) *Form {
	if list := f.list.Load(); list != nil {
		for _, form := range *list {
			if form.Of == of && form.Encoding == encoding {
				return form
			}
		}
	}
	return nil
}

// Keep keeps a form, if there is memory for it.
func (f *Forms) Keep(form *Form) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Get(form.Of, form.Encoding) != nil {
		return
	}
	var kept []*Form
	if list := f.list.Load(); list != nil {
		kept = *list
	}
	more := len(form.Text) + formBytes
	if len(kept) == mostForms {
		more -= len(kept[0].Text) + formBytes
		kept = kept[1:]
	}
	if !f.room.Take(more) {
		return
	}
	kept = append(kept[:len(kept):len(kept)], form)
	f.list.Store(&kept)
}

// WithForms returns the frame with what edges make of its message.
func (f Frame) WithForms(forms *Forms) Frame {
	f.forms = forms
	return f
}

// Forms are what edges have made of the frame's message; nil where it is given once.
func (f Frame) Forms() *Forms { return f.forms }
