package httpcache

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
)

// recorder is where the server's answer to a flight goes: into memory, or to the client who
// asked first.
type recorder struct {
	f      *flight
	server string // its authority
	header http.Header
	to     http.ResponseWriter // the client's, of an answer that passes; else nil
	wrote  int                 // the status that it was written, where the flight did that
	bodily bool                // the client gets the body
}

var _ http.ResponseWriter = (*recorder)(nil)

var (
	// errOther ends a flight whose server speaks of another answer than it was asked for.
	errOther = errors.New("httpcache: the server's 304 is about another answer")
	// errUnread is why no more is read of an answer that nobody gets.
	errUnread = errors.New("httpcache: nobody reads the answer")
)

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header {
	if w.to != nil {
		return w.to.Header()
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(code int) {
	f := w.f
	if code < http.StatusOK {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.informed = append(f.informed, informed{code, maps.Clone(w.header)})
		f.notify()
		return
	}
	stage := f.begin(code)
	h := w.header
	w.header = http.Header{} // that of the trailer, from here on
	if stage == passing && w.takeOver() {
		if w.wrote, w.bodily = writeHead(f.lead, code, w.server, h); !w.bodily {
			f.cancel() // nobody reads what follows
		}
	}
}

// takeOver waits until the client who asked first leaves its answer to the flight, and
// reports false where it has gone.
func (w *recorder) takeOver() bool {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.stage == passing && f.lead != nil && !f.parked {
		changed := f.changed
		f.mu.Unlock()
		<-changed
		f.mu.Lock()
	}
	if f.stage != passing || f.lead == nil || f.headed {
		f.cancel() // nobody reads it
		return false
	}
	w.to, w.bodily = f.lead.W, true
	f.body.Forget() // the client has it
	return true
}

// Write implements io.Writer.
func (w *recorder) Write(p []byte) (int, error) {
	switch {
	case w.to != nil && !w.bodily:
		return 0, errUnread
	case w.to != nil:
		return w.to.Write(p)
	case w.copies(p):
		return len(p), nil
	case w.takeOver():
		return w.to.Write(p)
	}
	return 0, errUnread
}

// copies reports whether a piece of the body has gone into memory.
func (w *recorder) copies(p []byte) bool {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage != copying {
		return false
	}
	defer f.notify()
	fits := len(f.body.Bytes)+len(p) <= memory.MaxEntry
	switch {
	case !fits:
		f.pass()
	case !f.body.Append(p):
		f.stage, f.answer = passing, nil // the next one may be kept
		return false
	}
	return fits
}

// FlushError sends the clients what was written.
func (w *recorder) FlushError() error {
	if w.to != nil {
		return http.NewResponseController(w.to).Flush()
	}
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushed = len(f.body.Bytes) + 1
	f.notify()
	return nil
}

// SetWriteDeadline has a write that waits for the client fail.
func (w *recorder) SetWriteDeadline(t time.Time) error {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.parked {
		return nil
	}
	return http.NewResponseController(f.lead.W).SetWriteDeadline(t)
}

// behind is the trailer that was written behind an answer; nil for none.
func (w *recorder) behind() http.Header {
	if w.to != nil {
		return nil
	}
	var trailer http.Header
	for name, values := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[name] = values
		}
	}
	return trailer
}
