package upstream

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/status"
)

// maxTrouble bounds the text of a fault, in bytes: a server may have written a part of it.
const maxTrouble = 300

// Because notes how the attempt has ended of which Judge is about to be told. People see it
// where that is a fault, until the endpoint answers a call.
func (t *Turn) Because(err error) { t.fault = err }

// blame remembers what the fault of an endpoint was.
func (r *record) blame(err error) {
	if err == nil {
		return
	}
	text := inWords(err)
	r.trouble.Store(&text)
}

// troubled says how the last calls failed, where no call was answered since; "" for none
// that failed, or of which nothing is known.
func (r *record) troubled() string {
	row, text := r.row.Load(), r.trouble.Load()
	switch {
	case row == 0 || text == nil:
		return ""
	case row == 1:
		return "its last call failed: " + *text
	}
	return fmt.Sprintf("its last %d calls failed: %s", row, *text)
}

// inWords is what an operator is to know of an error: what clients are told of it, what
// happened, and what to do.
func inWords(err error) string {
	text := status.Convert(err).Message()
	var own interface{ Cause() error }
	if errors.As(err, &own) && own.Cause() != nil {
		text += " (" + own.Cause().Error() + ")"
	}
	if len(text) > maxTrouble {
		text = text[:maxTrouble] + "…"
	}
	if advice := TLSAdvice(err); advice != "" {
		text += ": " + advice
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
