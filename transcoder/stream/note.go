package stream

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/transom-gateway/transom/proxy"
)

// SendRun writes messages that are at hand at once. As server-sent events they are joined once for all clients
// that get them.
func (s *restStream) SendRun(r *proxy.Run) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.sendRun(r)
	if err == nil && s.X.R.Method == http.MethodHead {
		return errHead
	}
	return err
}

func (s *restStream) sendRun(r *proxy.Run) error {
	if s.format != formatSSE {
		for _, f := range r.Frames {
			if err := s.sendJSON(&f); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := r.Text(formatSSE, func() ([]byte, error) {
		size := 0
		for _, f := range r.Frames {
			size += noteSize(f.Note())
		}
		text := make([]byte, 0, size)
		for _, f := range r.Frames {
			text = appendNote(text, f.Note())
		}
		return text, nil
	})
	if err != nil {
		return err
	}
	if !s.begun {
		s.begin200()
		s.writer.flushHeader()
	}
	s.sent += len(r.Frames)
	return s.writer.write(text)
}

// ExpectRuns has the body of server-sent events end with the connection, over HTTP/1.1, in place of chunks: net/http
// writes a long chunk to the network in three pieces, and what many clients are told costs little but these. A client
// that needs to know whether the body is whole has the event "end" or "error".
func (s *restStream) ExpectRuns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes = s.format == formatSSE && s.X.HTTP1()
}

// noteRoom is more than what stands around the texts of a note.
const noteRoom = 64

func noteSize(n *proxy.Note) int { return noteRoom + len(n.ID) + len(n.Name) + len(n.Data) }

// appendNote appends a message that tells itself how it is written as a server-sent event. Without data it
// tells the client an ID alone.
func appendNote(b []byte, n *proxy.Note) []byte {
	if n.Retry > 0 {
		b = append(b, "retry: "...)
		b = append(strconv.AppendInt(b, n.Retry.Milliseconds(), 10), '\n')
	}
	for _, line := range [...]struct{ name, value string }{{"id: ", n.ID}, {"event: ", n.Name}} {
		if line.value != "" {
			b = append(append(append(b, line.name...), line.value...), '\n')
		}
	}
	if n.Data != nil {
		b = append(append(append(b, "data: "...), n.Data...), '\n')
	}
	return append(b, '\n')
}

// appendShared appends a message that many clients get, whose JSON is made once.
func (s *restStream) appendShared(n *proxy.Note, f *proxy.Frame) error {
	text, err := n.Text(s.Binding, func() ([]byte, error) {
		var all bytes.Buffer
		short, long, err := s.Binding.Convert(nil, f.Bytes())
		_, _ = all.Write(short) // it does not fail
		if err == nil && long != nil {
			_, err = long.WriteTo(&all)
		}
		return all.Bytes(), err
	})
	s.Scratch = append(s.Scratch, text...)
	return err
}
