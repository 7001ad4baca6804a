package http1head

import (
	"fmt"
	"net/http"
)

// A Fault is why a request is refused.
type Fault struct {
	// Status is the HTTP status of the answer.
	Status int
	// Message says what was found and what was expected, for people.
	Message string
}

// Error implements error.
func (f *Fault) Error() string { return f.Message }

func bad(format string, args ...any) *Fault {
	return &Fault{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// maxQuoted bounds what a message repeats of the request, in bytes.
const maxQuoted = 64

// quoted is what was found, for a message: printable ASCII within bounds.
func quoted(b []byte) string {
	more := ""
	if len(b) > maxQuoted {
		b, more = b[:maxQuoted], "…"
	}
	return fmt.Sprintf("%+q", b) + more
}

// A Refusal is a request that is refused, as far as it was read.
type Refusal struct {
	Fault
	// Method and Target are of the request line; empty where it was not read, and the
	// target is cut where it is long.
	Method, Target string
	// ContentType, RequestID and Connect are the fields Content-Type, X-Request-Id and
	// Connect-Protocol-Version, which say in what form to answer; empty for none.
	ContentType, RequestID, Connect string
}
