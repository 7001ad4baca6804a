package cloudevents

import (
	"cmp"
	"slices"

	"github.com/transom-gateway/transom/events"
)

// room is what is left for the headers of a message.
type room struct {
	binding binding
	message *Message
	left    int
}

// add writes an attribute if there is room for it, and reports whether there was.
func (r *room) add(name, encoded string) bool { return r.take(r.binding.prefix+name, encoded) }

func (r *room) take(header, encoded string) bool {
	size := len(header) + len(encoded)
	if size > MaxHeader || size > r.left {
		r.message.Trimmed = true
		return false
	}
	r.left -= size
	r.message.Headers = append(r.message.Headers, Header{header, encoded})
	return true
}

// extensions writes the extensions of an event. If there is no room for all, the longest
// are left out: those of the gateway's own are short.
func (r *room) extensions(e *events.Event) {
	var all []Header
	total := 0
	extensions(e, func(name, value string) {
		all = append(all, Header{name, r.binding.encode(value)})
		total += size(all[len(all)-1], r.binding)
	})
	if total > r.left {
		slices.SortStableFunc(all, func(a, b Header) int { return cmp.Compare(size(a, r.binding), size(b, r.binding)) })
	}
	for _, h := range all {
		r.add(h.Name, h.Value)
	}
}

func size(h Header, b binding) int { return len(b.prefix) + len(h.Name) + len(h.Value) }
