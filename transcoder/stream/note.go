package stream

import (
	"bytes"
	"strconv"

	"github.com/transom-gateway/transom/proxy"
)

// sendNote writes a message that tells itself how it is written as a server-sent event. Without data it
// tells the client an ID alone.
func (s *restStream) sendNote(n *proxy.Note) error {
	s.begin200()
	s.sent++
	b := s.Scratch[:0]
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
	b = append(b, '\n')
	s.Scratch = b
	return s.writer.write(s.Scratch)
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
