package transcoder

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// request builds the request message: the body first, then the query, then the
// path's variables, so that what stands later on the wire wins (Semantics 13;
// a query parameter never meets a variable, Semantics 14). The result lives in the call's memory.
func (c *restCall) request() ([]byte, error) {
	c.wire = c.wire[:0]
	c.claimVariables()
	if c.body.kind != bodyNone {
		if err := c.readBody(); err != nil {
			return nil, err
		}
		if err := c.appendBody(); err != nil {
			return nil, err
		}
	} else if c.hasQueryForm() {
		if err := c.appendQueryForm(); err != nil {
			return nil, err
		}
	}
	if err := c.appendPathAndQuery(); err != nil {
		return nil, err
	}
	return c.wire, nil
}

// claimVariables begins to note what sets which field: the path comes first, as
// it has the last word.
func (c *restCall) claimVariables() {
	c.filled.Reset()
	for _, field := range c.binding.claims {
		c.filled.Claim(field) // that they get along was checked at load
	}
}

// appendPathAndQuery appends what path and query set to the body in c.wire, which
// must not set what they do (Semantics 300); the path has the last word, as
// authorisation may have been decided on it.
func (c *restCall) appendPathAndQuery() error {
	body := len(c.wire)
	if raw := c.x.R.URL.RawQuery; raw != "" {
		var err error
		if c.wire, err = c.binding.query.appendTo(c.wire, raw, &c.filled); err != nil {
			return err
		}
	}
	if err := c.checkBody(c.wire[:body]); err != nil {
		return err
	}
	return c.appendVariables()
}

// checkBody refuses a message of the body that sets what path and query set.
func (c *restCall) checkBody(message []byte) error {
	if c.filled.Empty() || len(message) == 0 || c.body.kind == bodyNone {
		return nil
	}
	if reason := c.filled.Meets(c.binding.Method.input, message); reason != "" {
		return badRequest("body: %s", reason)
	}
	return nil
}

// appendVariables appends what the path binds.
func (c *restCall) appendVariables() error {
	for i, field := range c.binding.variables {
		if i >= len(c.x.Values) {
			break
		}
		var err error
		if field.Descriptor().IsList() {
			for value := range strings.SplitSeq(c.x.Values[i], ",") {
				if c.wire, err = field.AppendText(c.wire, value); err != nil {
					break
				}
			}
		} else {
			c.wire, err = field.AppendText(c.wire, c.x.Values[i])
		}
		if err != nil {
			return badRequest("path variable {%s}: %v", c.binding.Template.Variables[i].FieldPath, err)
		}
	}
	return nil
}

// appendBody appends the body that was read into raw.
func (c *restCall) appendBody() error {
	b := c.body
	if b.raw {
		return c.appendRaw(first(c.x.R.Header, "Content-Type"))
	}
	format, err := c.bodyFormat()
	if err != nil {
		if len(c.raw) == 0 {
			return nil // no body has no type
		}
		return err
	}
	if format == formatForm && c.binding.Method.Settings.AnyContentType && looksLikeJSON(c.raw) {
		format = formatJSON
	}
	switch format {
	case formatForm:
		return c.appendForm()
	case formatProto:
		return c.appendProto()
	}
	if len(bytes.TrimLeft(c.raw, " \t\r\n")) == 0 {
		return nil // an empty body is an empty message (Semantics 19)
	}
	if err := c.appendJSON(c.raw); err != nil {
		return err
	}
	if b.mask != nil {
		return c.appendMask()
	}
	return nil
}

// bodyFormat is formatOf; what is unknown is JSON where the settings say so.
func (c *restCall) bodyFormat() (bodyFormat, error) {
	format, err := formatOf(c.x.R.Header)
	if err != nil && c.binding.Method.Settings.AnyContentType {
		return formatJSON, nil
	}
	return format, err
}

// appendJSON appends one JSON value as the body.
func (c *restCall) appendJSON(value []byte) error {
	m := c.binding.Method
	var err error
	if c.body.kind == bodyAll {
		c.wire, err = m.input.AppendWire(c.wire, value, m.Settings.Input)
	} else {
		c.wire, err = c.body.field.AppendWire(c.wire, value, m.Settings.Input)
	}
	if err != nil {
		return badRequest("body: %v", err)
	}
	return nil
}

// appendRaw wraps the body, as it is, into a google.api.HttpBody.
func (c *restCall) appendRaw(contentType string) error {
	if c.body.kind == bodyAll {
		c.wire = appendHTTPBody(c.wire, contentType, c.raw)
		return nil
	}
	c.wire = appendSubmessage(c.wire, c.body.field.Descriptor(), appendHTTPBody(nil, contentType, c.raw))
	return nil
}

// appendForm maps a form like a query (Semantics 22).
func (c *restCall) appendForm() error {
	b := c.binding
	var filled jsonwire.Filled
	if looksLikeJSON(c.raw) {
		return badRequest("body: this is JSON, but the Content-Type says it is a form; send Content-Type: application/json (curl: --json, or -H)")
	}
	if b.form == nil {
		return badRequest("body: a field of this kind cannot be sent as a form; send JSON")
	}
	if b.body.kind == bodyAll {
		var err error
		c.wire, err = b.form.appendTo(c.wire, string(c.raw), &filled)
		return err
	}
	message, err := b.form.appendTo(nil, string(c.raw), &filled)
	if err != nil {
		return err
	}
	c.wire = appendSubmessage(c.wire, b.body.field.Descriptor(), message)
	return nil
}

// hasQueryForm reports whether the body is a form that stands for the query.
func (c *restCall) hasQueryForm() bool {
	if !c.binding.Method.Settings.FormQuery || c.x.R.Method != http.MethodPost {
		return false
	}
	format, err := formatOf(c.x.R.Header)
	return err == nil && format == formatForm
}

// appendQueryForm reads a form as the query of a rule without a body.
func (c *restCall) appendQueryForm() error {
	if err := c.readBody(); err != nil {
		return err
	}
	var err error
	c.wire, err = c.binding.query.appendTo(c.wire, string(c.raw), &c.filled)
	return err
}

// appendProto takes a message in wire format.
func (c *restCall) appendProto() error {
	b := c.body
	if b.plan == nil {
		return badRequest("body: a field of this kind cannot be sent in wire format; send JSON")
	}
	if err := b.plan.Check(c.raw); err != nil {
		return badRequest("body: not a valid message in wire format: %v", err)
	}
	if b.kind == bodyAll {
		c.wire = append(c.wire, c.raw...)
		return nil
	}
	c.wire = appendSubmessage(c.wire, b.field.Descriptor(), c.raw)
	return nil
}

// appendMask fills an unset FieldMask of a PATCH from the body's keys
// (Semantics 23).
func (c *restCall) appendMask() error {
	b := c.body
	if c.binding.query.names(c.x.R.URL.RawQuery, b.mask) {
		return nil
	}
	paths, err := b.plan.MaskPaths(c.raw)
	if err != nil {
		return badRequest("body: %v", err)
	}
	c.wire = appendMaskPaths(c.wire, b.mask.Descriptor(), paths)
	return nil
}

// looksLikeJSON tells what curl -d sends when nobody says what it is.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}
