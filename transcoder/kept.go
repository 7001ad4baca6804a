package transcoder

import (
	"bytes"
	"io"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
)

// formKinds are the forms in which answers are written: REST's, Connect's JSON, and wire format.
type formKinds struct{ rest, connect, binary proxy.FormKind }

// kept returns an answer as it was written before; false where it was not, or is given once.
func (t *Text) kept(f *proxy.Frame, kind *proxy.FormKind) bool {
	t.forms = f.Forms()
	if t.forms == nil {
		return false
	}
	t.kind = kind
	t.form = t.forms.Get(kind, "")
	return t.form != nil
}

// keep keeps an answer that is given again. It is text, nil where it is bytes of the message.
func (c *Call) keep(t *Text, f *proxy.Frame, form byte, text []byte) {
	switch {
	case t.Long != nil:
		t.forms = nil
	case t.forms != nil:
		t.form = &proxy.Form{Of: t.kind, Text: bytes.Clone(text)}
		if m := c.Binding.Method; m.tags != nil {
			if tag := m.tags.of(f.Bytes(), form, c.Binding.tagPart(form)); tag != "" {
				t.form.ETag = []string{tag}
			}
		}
		t.forms.Keep(t.form)
	}
}

// EncodeConnect turns a reply into an answer of Connect, in wire format or JSON.
func (c *Call) EncodeConnect(f *proxy.Frame, binary bool) (body Text, err error) {
	m, wire := c.Binding.Method, f.Bytes()
	if binary {
		body.Short = wire
		if !body.kept(f, &m.forms.binary) {
			c.keep(&body, f, formBinary, nil)
		}
		return body, nil
	}
	if body.kept(f, &m.forms.connect) {
		body.Short = body.form.Text
		return body, nil
	}
	if c.Scratch, body.Long, err = m.Output.Convert(c.Scratch[:0], wire, m.Settings.ConnectJSON); err != nil {
		return Text{}, BrokenAnswer(m, "the backend's answer", err)
	}
	body.Short = c.Scratch
	c.keep(&body, f, formConnect, body.Short)
	return body, nil
}

// compressKept is Compress for an answer that is given again.
func (t *Text) compressKept(e *compression.Encoding, w io.Writer) error {
	form := t.forms.Get(t.kind, e.Name)
	if form == nil {
		var all bytes.Buffer
		if err := t.compress(e, &all); err != nil {
			return err
		}
		form = &proxy.Form{Of: t.kind, Encoding: e.Name, Text: bytes.Clone(all.Bytes())}
		t.forms.Keep(form)
	}
	_, err := w.Write(form.Text)
	return err
}
