package transcoder

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// Request builds the request message: the body first, then the query, then the
// path's variables, so that what stands later on the wire wins (Semantics 13;
// a query parameter never meets a variable, Semantics 14). The result lives in the call's memory.
func (c *Call) Request() ([]byte, error) {
	c.Wire = c.Wire[:0]
	c.ClaimVariables()
	if c.Body.Kind != BodyNone {
		if !c.hasRead {
			if err := c.ReadBody(); err != nil {
				return nil, err
			}
		}
		if err := c.appendBody(); err != nil {
			return nil, err
		}
	} else if c.hasQueryForm() {
		if err := c.appendQueryForm(); err != nil {
			return nil, err
		}
	}
	if err := c.AppendPathAndQuery(); err != nil {
		return nil, err
	}
	return c.Wire, nil
}

// ClaimVariables begins to note what sets which field: the path comes first, as
// it has the last word.
func (c *Call) ClaimVariables() {
	c.filled.Reset()
	for _, field := range c.Binding.claims {
		c.filled.Claim(field) // that they get along was checked at load
	}
}

// AppendPathAndQuery appends what path and query set to the body in c.wire, which
// must not set what they do (Semantics 300); the path has the last word, as
// authorisation may have been decided on it.
func (c *Call) AppendPathAndQuery() error {
	body := len(c.Wire)
	if raw := c.X.R.URL.RawQuery; raw != "" {
		var err error
		if c.Wire, err = c.Binding.query.appendTo(c.Wire, raw, &c.filled); err != nil {
			return err
		}
	}
	if err := c.CheckBody(c.Wire[:body]); err != nil {
		return err
	}
	return c.appendVariables()
}

// CheckBody refuses a message of the body that sets what path and query set.
func (c *Call) CheckBody(message []byte) error {
	if c.filled.Empty() || len(message) == 0 || c.Body.Kind == BodyNone {
		return nil
	}
	if reason := c.filled.Meets(c.Binding.Method.Input, message); reason != "" {
		return rpcerror.BadRequest("body: %s", reason)
	}
	return nil
}

// appendVariables appends what the path binds.
func (c *Call) appendVariables() error {
	for i, field := range c.Binding.variables {
		if i >= len(c.X.Values) {
			break
		}
		var err error
		if field.Descriptor().IsList() {
			for value := range strings.SplitSeq(c.X.Values[i], ",") {
				if c.Wire, err = field.AppendText(c.Wire, value); err != nil {
					break
				}
			}
		} else {
			c.Wire, err = field.AppendText(c.Wire, c.X.Values[i])
		}
		if err != nil {
			return rpcerror.BadRequest("path variable {%s}: %v", c.Binding.Template.Variables[i].FieldPath, err)
		}
	}
	return nil
}

// appendBody appends the body that was read into raw.
func (c *Call) appendBody() error {
	b := c.Body
	if b.Raw {
		return c.AppendRaw(field.First(c.X.R.Header, "Content-Type"))
	}
	format, err := c.BodyFormat()
	if err != nil {
		if len(c.Raw) == 0 {
			return nil // no body has no type
		}
		return err
	}
	if format == FormatForm && c.Binding.Method.Settings.AnyContentType && looksLikeJSON(c.Raw) {
		format = FormatJSON
	}
	switch format {
	case FormatForm:
		return c.appendForm()
	case FormatProto:
		return c.AppendProto()
	}
	if len(bytes.TrimLeft(c.Raw, " \t\r\n")) == 0 {
		return nil // an empty body is an empty message (Semantics 19)
	}
	if err := c.AppendJSON(c.Raw); err != nil {
		return err
	}
	if b.mask != nil {
		return c.appendMask()
	}
	return nil
}

// BodyFormat is FormatOf; what is unknown is JSON where the settings say so.
func (c *Call) BodyFormat() (BodyFormat, error) {
	format, err := FormatOf(c.X.R.Header)
	if err != nil && c.Binding.Method.Settings.AnyContentType {
		return FormatJSON, nil
	}
	return format, err
}

// AppendJSON appends one JSON value as the body.
func (c *Call) AppendJSON(value []byte) error {
	m := c.Binding.Method
	in := m.Settings.Input
	in.Given = c.Binding.given
	var err error
	if c.Body.Kind == bodyAll {
		c.Wire, err = m.Input.AppendWire(c.Wire, value, in)
	} else {
		c.Wire, err = c.Body.Field.AppendWire(c.Wire, value, in)
	}
	if err != nil {
		return rpcerror.BadRequest("body: %v", err)
	}
	return nil
}

// AppendRaw wraps the body, as it is, into a google.api.HttpBody.
func (c *Call) AppendRaw(contentType string) error {
	if c.Body.Kind == bodyAll {
		c.Wire = AppendHTTPBody(c.Wire, contentType, c.Raw)
		return nil
	}
	c.Wire = AppendSubmessage(c.Wire, c.Body.Field.Descriptor(), AppendHTTPBody(nil, contentType, c.Raw))
	return nil
}

// appendForm maps a form like a query (Semantics 22).
func (c *Call) appendForm() error {
	b := c.Binding
	var filled jsonwire.Filled
	if looksLikeJSON(c.Raw) {
		return rpcerror.BadRequest("body: this is JSON, but the Content-Type says it is a form; send Content-Type: application/json (curl: --json, or -H)")
	}
	if b.form == nil {
		return rpcerror.BadRequest("body: a field of this kind cannot be sent as a form; send JSON")
	}
	if b.Body.Kind == bodyAll {
		var err error
		c.Wire, err = b.form.appendTo(c.Wire, string(c.Raw), &filled)
		return err
	}
	message, err := b.form.appendTo(nil, string(c.Raw), &filled)
	if err != nil {
		return err
	}
	c.Wire = AppendSubmessage(c.Wire, b.Body.Field.Descriptor(), message)
	return nil
}

// hasQueryForm reports whether the body is a form that stands for the query.
func (c *Call) hasQueryForm() bool {
	if !c.Binding.Method.Settings.FormQuery || c.X.R.Method != http.MethodPost {
		return false
	}
	format, err := FormatOf(c.X.R.Header)
	return err == nil && format == FormatForm
}

// appendQueryForm reads a form as the query of a rule without a body.
func (c *Call) appendQueryForm() error {
	if err := c.ReadBody(); err != nil {
		return err
	}
	var err error
	c.Wire, err = c.Binding.query.appendTo(c.Wire, string(c.Raw), &c.filled)
	return err
}

// AppendProto takes a message in wire format.
func (c *Call) AppendProto() error {
	b := c.Body
	if b.plan == nil {
		return rpcerror.BadRequest("body: a field of this kind cannot be sent in wire format; send JSON")
	}
	if err := b.plan.Check(c.Raw); err != nil {
		return rpcerror.BadRequest("body: not a valid message in wire format: %v", err)
	}
	if b.Kind == bodyAll {
		c.Wire = append(c.Wire, c.Raw...)
		return nil
	}
	c.Wire = AppendSubmessage(c.Wire, b.Field.Descriptor(), c.Raw)
	return nil
}

// appendMask fills an unset FieldMask of a PATCH from the body's keys
// (Semantics 23).
func (c *Call) appendMask() error {
	b := c.Body
	if c.Binding.query.names(c.X.R.URL.RawQuery, b.mask) {
		return nil
	}
	paths, err := b.plan.MaskPaths(c.Raw)
	if err != nil {
		return rpcerror.BadRequest("body: %v", err)
	}
	c.Wire = appendMaskPaths(c.Wire, b.mask.Descriptor(), paths)
	return nil
}

// looksLikeJSON tells what curl -d sends when nobody says what it is.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}
