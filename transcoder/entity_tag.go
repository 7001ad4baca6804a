package transcoder

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/entitytag"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// entityTags make the ETag of a method's answers to GET and HEAD (Traffic 121). It is the
// backend's where that says one; else a hash of the answer's canonical form and of the
// form in which it is written, so that equal answers have equal tags at all gateways with
// the same settings. That one is weak, since the same answer may be spelled differently.
type entityTags struct {
	form *canonical.Form
	// rest and connect stand for the settings of the two forms of JSON.
	rest, connect [sha256.Size]byte
}

// entityTagMetadata is the response metadata by which a backend says its own.
const entityTagMetadata = "etag"

func newEntityTags(output protoreflect.MessageDescriptor, s *Settings) *entityTags {
	sum := func(o jsonwire.Output) [sha256.Size]byte {
		o.MaxBytes = 0
		return sha256.Sum256(fmt.Appendf(nil, "%+v", o))
	}
	return &entityTags{form: canonical.New(output), rest: sum(s.JSON), connect: sum(s.ConnectJSON)}
}

// The forms in which an answer is written, as far as its entity tag tells.
const (
	formREST    = 'r'
	formConnect = 'c'
	formBinary  = 'b'
)

// of is the tag of an answer in wire format.
func (t *entityTags) of(wire []byte, form byte, part string) string {
	whole, err := t.form.Append(nil, wire)
	if err != nil {
		return "" // such an answer cannot be written either
	}
	var parts [2*sha256.Size + 1]byte
	switch form {
	case formREST:
		copy(parts[:], t.rest[:])
	case formConnect:
		copy(parts[:], t.connect[:])
	case formBinary:
	}
	parts[sha256.Size] = form
	sum := sha256.Sum256(whole)
	copy(parts[sha256.Size+1:], sum[:])
	if part == "" {
		sum = sha256.Sum256(parts[:])
	} else {
		sum = sha256.Sum256(append(parts[:], part...))
	}
	const size = 16 // bytes of a hash are enough to tell answers apart
	tag := make([]byte, 0, len(`W/""`)+22)
	tag = append(tag, `W/"`...)
	tag = base64.RawURLEncoding.AppendEncode(tag, sum[:size])
	return string(append(tag, '"'))
}

// TagsAnswers reports whether the answer to the call's request carries an entity tag.
func (c *Call) TagsAnswers() bool {
	return c.Binding.Method.tags != nil && isSafe(c.X.R.Method)
}

// Tag sets the validators of an answer with status 200, and returns the status that it has:
// 304 where the client has it already (Traffic 122). form is how the answer is written: 'r' for
// REST's JSON, 'c' for Connect's, 'b' for wire format. own is what the backend says.
func (c *Call) Tag(form byte, wire []byte, own string, body *Text) (httpStatus int) {
	h := c.X.Header()
	if h["Vary"] == nil {
		h["Vary"] = variesByForm
	} else {
		field.AddVary(h, "Accept")
		field.AddVary(h, "Accept-Encoding")
	}
	tag := c.tagOf(form, wire, own, body)
	if tag == nil {
		return http.StatusOK
	}
	h["Etag"] = tag
	if c.unchanged(tag) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// tagOf is the entity tag of an answer, as the values of the header; nil for none.
func (c *Call) tagOf(form byte, wire []byte, own string, body *Text) []string {
	if own == "" && body.form != nil && body.form.ETag != nil {
		return body.form.ETag
	}
	if own == "" {
		own = c.Binding.Method.tags.of(wire, form, c.Binding.tagPart(form))
	}
	if own == "" {
		return nil
	}
	if own[0] == '"' && body.Size() >= compression.MinSize && compression.Accepted(c.X.R.Header) != nil {
		own = "W/" + own // other bytes, which a strong one would have to tell (RFC 9110 8.8.3.3)
	}
	return []string{own}
}

// unchanged reports whether the client has the answer with an entity tag already.
func (c *Call) unchanged(tag []string) bool {
	lines := c.X.R.Header["If-None-Match"]
	return len(lines) > 0 && len(tag) > 0 && entitytag.Listed(lines, tag[0])
}

// Unchanged reports whether the client has the answer already that Tag is about to be asked for.
func (c *Call) Unchanged(form byte, wire []byte, own string, body *Text) bool {
	return len(c.X.R.Header["If-None-Match"]) > 0 && c.unchanged(c.tagOf(form, wire, own, body))
}

// variesByForm are the lines of Vary of answers with an entity tag. They have no room behind them,
// so that who appends to them has a list of their own.
var variesByForm = []string{"Accept", "Accept-Encoding"}

// tagPart is the part of the message that the answer is, as entity tags tell it; "" for all of it.
func (b *Binding) tagPart(form byte) string {
	if f := b.answer.field; f != nil && form != formConnect {
		return string(f.Descriptor().Name())
	}
	return ""
}

// OwnTag is the entity tag that a backend says; "" for none, and for what is none.
func OwnTag(md metadata.MD) string {
	if v := md[entityTagMetadata]; len(v) == 1 && entitytag.Valid(v[0]) {
		return v[0]
	}
	return ""
}

// setValidators has what a backend says of its answer's age and uses become headers of
// the same name, whatever other metadata does.
func (c *Call) setValidators(md metadata.MD) {
	h := c.X.Header()
	for _, f := range [...]struct{ metadata, header string }{
		{"cache-control", "Cache-Control"},
		{"expires", "Expires"},
		{"last-modified", "Last-Modified"},
	} {
		if v := md[f.metadata]; len(v) > 0 && h[f.header] == nil {
			SetValues(h, f.header, f.metadata, v)
		}
	}
	if v := md[varyMetadata]; len(v) > 0 {
		c.Binding.Method.Settings.Headers.vary(h, v)
	}
}

// SetErrorValidators is setValidators of an error. All that a backend says of one may have come in one block with its
// status, which gRPC takes for a trailer.
func (c *Call) SetErrorValidators(trailer metadata.MD) {
	if c.TagsAnswers() {
		c.setValidators(trailer)
	}
}

// NotModified reports whether an error is a handler's "not modified", as connect-go's
// handlers say it: it is one where the client has asked for it.
func (c *Call) NotModified(err error) bool {
	r := c.X.R
	return len(r.Header["If-None-Match"]) > 0 && isSafe(r.Method) && proxy.NotModified(err)
}

// WriteNotModified answers 304 for an error that NotModified takes for one. The trailer
// may hold the entity tag.
func (c *Call) WriteNotModified(trailer metadata.MD) int {
	if tag := OwnTag(trailer); tag != "" {
		c.X.Header()["Etag"] = []string{tag}
	}
	c.WriteText(http.StatusNotModified, "", &Text{})
	return http.StatusNotModified
}

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }
