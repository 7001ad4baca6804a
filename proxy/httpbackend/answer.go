package httpbackend

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/transom-gateway/transom/internal/field"
)

// bufferSize is that of the buffers that bodies go through.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// answer writes the server's answer to the client.
func (e *exchange) answer(response *http.Response) {
	defer func() { _ = response.Body.Close() }() // what it says, reading has said before
	e.enter(toAnswer)
	if response.StatusCode == http.StatusSwitchingProtocols {
		e.upgrade(response)
		return
	}
	if e.tunnel && response.StatusCode < 300 {
		e.result.Err = errUpgrade // the client would take it for a WebSocket that is open
		return
	}
	if response.StatusCode < http.StatusOK || response.StatusCode > 999 {
		e.result.Err = errStatus(response.StatusCode) // net/http panics of what is no status
		return
	}
	announced := e.writeHeader(response)
	if response.Body != http.NoBody {
		if err := e.copyBody(response); err != nil {
			e.result.Err, e.result.Aborted = err, true
			return
		}
	}
	e.writeTrailer(response.Trailer, announced)
}

// writeHeader writes the header of the final answer and returns the names of the trailer
// that it announces.
func (e *exchange) writeHeader(response *http.Response) (announced []string) {
	h := e.W.Header()
	copyAnswer(h, response.Header)
	if e.ViaAnswers {
		h["Via"] = e.u.via.add(response.Header["Via"], response.ProtoMajor, response.ProtoMinor)
	}
	e.frameAnswer(h, response)
	for name := range response.Trailer {
		if passesInAnswersTrailer(name) {
			announced = append(announced, name)
		}
	}
	if len(announced) > 0 {
		slices.Sort(announced)
		h["Trailer"] = []string{strings.Join(announced, ", ")}
		if e.R.ProtoMajor == 1 && e.R.ProtoMinor > 0 && e.R.Method != http.MethodHead && response.Body != http.NoBody {
			// HTTP/2 has trailers behind a body of known length, HTTP/1.1 has not.
			delete(h, "Content-Length")
			h["Transfer-Encoding"] = chunked
		}
	}
	if e.Answer != nil {
		e.Answer(response.StatusCode, e.authority(), h)
	}
	e.body.closeAfter(h)
	e.W.WriteHeader(response.StatusCode)
	e.result.Status = response.StatusCode
	e.wrote = true
	return announced
}

// authority is the one of the server's own.
func (e *exchange) authority() string { return cmp.Or(e.server.Authority, e.server.Address) }

// frameAnswer has net/http send the body as the server framed it.
func (e *exchange) frameAnswer(h http.Header, response *http.Response) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess
	}
	switch http1 := e.R.ProtoMajor == 1; {
	case response.StatusCode == http.StatusNoContent, response.StatusCode == http.StatusNotModified && !http1:
		// 204 has none (RFC 9110, 8.6), 304 that of another answer: clients of HTTP/2 would
		// wait for a body.
		delete(h, "Content-Length")
	case response.ContentLength < 0 && http1 && response.Body != http.NoBody:
		h["Transfer-Encoding"] = chunked // of a short one, too; net/http drops it for HTTP/1.0
	case response.ContentLength == 0 && !http1 && response.Header["Content-Length"] == nil:
		h["Content-Length"] = nil
	}
}

// copyBody copies the answer's body as it comes.
func (e *exchange) copyBody(response *http.Response) error {
	buffer, ok := buffers.Get().(*[bufferSize]byte)
	if !ok {
		return nil // the pool holds nothing else
	}
	defer buffers.Put(buffer)
	// By HTTP/1, the connection says before it waits for the server; by HTTP/2, one
	// reader waits for all streams.
	told := e.link.Load() != nil
	if !told && response.ContentLength != 0 && e.R.Method != http.MethodHead {
		e.flush() // what ends with its header has to end with it for the client, too
	}
	for {
		if passed, err := e.passPiece(response); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		} else if passed {
			continue
		}
		e.await(told)
		n, err := response.Body.Read(buffer[:])
		e.await(false)
		if n > 0 {
			e.move()
			if failed := e.write(buffer[:n]); failed != nil {
				return failed
			}
			if !told && err == nil {
				e.flush()
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return e.explain(err)
		}
	}
}

// write writes a piece of the answer's body.
func (e *exchange) write(p []byte) error {
	e.mu.Lock()
	e.writing.Store(true)
	n, err := e.W.Write(p)
	e.writing.Store(false)
	e.wrote = true
	e.mu.Unlock()
	e.move()
	e.result.Received += int64(n)
	if err != nil {
		return e.clientGone(err)
	}
	return nil
}

// await says whether what was written is to be flushed when the connection to the server
// has nothing more.
func (e *exchange) await(flushing bool) {
	e.mu.Lock()
	e.flushing = flushing
	e.mu.Unlock()
}

// waits is called, by whoever reads a connection to a server, before it waits for more.
func (e *exchange) waits() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flushing && e.wrote {
		e.flushLocked()
	}
}

// flush sends the client what was written.
func (e *exchange) flush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flushLocked()
}

// flushLocked is flush with e.mu held. Where it fails, the next write does, too.
func (e *exchange) flushLocked() {
	e.writing.Store(true)
	_ = http.NewResponseController(e.W).Flush()
	e.writing.Store(false)
	e.wrote = false
}

// writeTrailer writes the answer's trailer. A client that does not say that it takes
// trailers gets what was announced only.
func (e *exchange) writeTrailer(trailer http.Header, announced []string) {
	if len(trailer) == 0 {
		return
	}
	h := e.W.Header()
	takes := field.HasToken(e.R.Header["Te"], "trailers")
	for name, values := range trailer {
		switch {
		case !areValues(values) || !passesInAnswersTrailer(name):
		case slices.Contains(announced, name):
			h[name] = values
		case takes:
			h[http.TrailerPrefix+name] = values
		}
	}
}
