package transcoder

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// defaultMaxJSON bounds the JSON of one message of the backend, in bytes.
const defaultMaxJSON = 64 << 20

// Text is what an answer consists of: bytes, or, in their place, JSON that is too
// long to be held.
type Text struct {
	Short []byte
	Long  *jsonwire.Long

	// forms are what is kept of an answer that is given again, kind which of them the text is;
	// nil for others. form is the text itself, kept or not.
	forms *proxy.Forms
	kind  *proxy.FormKind
	form  *proxy.Form
}

// Size returns how many bytes writeTo writes.
func (t *Text) Size() int {
	if t.Long != nil {
		return t.Long.Len()
	}
	return len(t.Short)
}

// CopyTo writes the text; long JSON in pieces.
func (t *Text) CopyTo(w io.Writer) error {
	if t.Long != nil {
		_, err := t.Long.WriteTo(w)
		return err
	}
	_, err := w.Write(t.Short)
	return err
}

// Compress writes the text compressed.
func (t *Text) Compress(e *compression.Encoding, w io.Writer) error {
	if t.forms != nil {
		return t.compressKept(e, w)
	}
	return t.compress(e, w)
}

func (t *Text) compress(e *compression.Encoding, w io.Writer) error {
	z := e.Writer(w)
	defer e.Put(z)
	if err := t.CopyTo(z); err != nil {
		return err
	}
	return z.Close()
}

// Convert appends a reply's JSON to dst. Where it is long, dst stays as it is.
func (b *Binding) Convert(dst, wire []byte) ([]byte, *jsonwire.Long, error) {
	m := b.Method
	if field := b.answer.field; field != nil {
		return field.Convert(dst, wire, m.Settings.JSON)
	}
	return m.Output.Convert(dst, wire, m.Settings.JSON)
}

// BrokenAnswer is the error of an answer that cannot be converted; what names it.
func BrokenAnswer(m *Method, what string, err error) error {
	var large *jsonwire.TooLargeError
	if errors.As(err, &large) {
		return &largeJSONError{large.Max}
	}
	return status.Errorf(codes.Internal, "%s is not a valid %s: %v", what, m.Descriptor.Output().FullName(), err)
}

// largeJSONError says that an answer is too large once it is JSON: the backend's
// fault, not the client's, so 502 over HTTP.
type largeJSONError struct{ max int }

// Error implements error.
func (e *largeJSONError) Error() string {
	return fmt.Sprintf("the backend's answer is larger than %d bytes as JSON (limits.max_json_bytes)", e.max)
}

// GRPCStatus lets the status package see the status.
func (e *largeJSONError) GRPCStatus() *status.Status {
	return status.New(codes.ResourceExhausted, e.Error())
}

// HTTPStatus is the status of an HTTP answer.
func (e *largeJSONError) HTTPStatus() int { return 502 } // Bad Gateway
