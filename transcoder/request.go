package transcoder

import (
	"bytes"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// request builds the request message: the body first, then the path's
// variables, then the query, so that what stands later on the wire wins
// (SEMANTICS 13). The result lives in the call's memory.
func (c *restCall) request() ([]byte, error) {
	b := c.binding
	c.wire = c.wire[:0]
	if b.body.kind != bodyNone {
		if err := c.readBody(); err != nil {
			return nil, err
		}
		if err := c.appendBody(); err != nil {
			return nil, err
		}
	}
	if err := c.appendVariables(); err != nil {
		return nil, err
	}
	if raw := c.r.URL.RawQuery; raw != "" {
		var err error
		if c.wire, err = b.query.appendTo(c.wire, raw); err != nil {
			return nil, err
		}
	}
	return c.wire, nil
}

// appendVariables appends what the path binds.
func (c *restCall) appendVariables() error {
	for i, field := range c.binding.variables {
		if i >= len(c.values) {
			break
		}
		var err error
		if field.Descriptor().IsList() {
			for value := range strings.SplitSeq(c.values[i], ",") {
				if c.wire, err = field.AppendText(c.wire, value); err != nil {
					break
				}
			}
		} else {
			c.wire, err = field.AppendText(c.wire, c.values[i])
		}
		if err != nil {
			return badRequest("path variable {%s}: %v", c.binding.Template.Variables[i].FieldPath, err)
		}
	}
	return nil
}

// appendBody appends the body that was read into raw.
func (c *restCall) appendBody() error {
	b := &c.binding.body
	if b.raw {
		return c.appendRawBody()
	}
	format, err := formatOf(c.r.Header)
	if err != nil {
		if len(c.raw) == 0 {
			return nil // no body has no type
		}
		return err
	}
	switch format {
	case formatForm:
		return c.appendForm()
	case formatProto:
		return c.appendProto()
	}
	if len(bytes.TrimLeft(c.raw, " \t\r\n")) == 0 {
		return nil // an empty body is an empty message (SEMANTICS 19)
	}
	m := c.binding.Method
	if b.kind == bodyAll {
		c.wire, err = m.input.AppendWire(c.wire, c.raw, m.Settings.Input)
	} else {
		c.wire, err = b.field.AppendWire(c.wire, c.raw, m.Settings.Input)
	}
	if err != nil {
		return badRequest("body: %v", err)
	}
	if b.mask != nil {
		return c.appendMask()
	}
	return nil
}

// appendRawBody wraps the body, as it is, into a google.api.HttpBody.
func (c *restCall) appendRawBody() error {
	contentType := first(c.r.Header, "Content-Type")
	if c.binding.body.kind == bodyAll {
		c.wire = appendHTTPBody(c.wire, contentType, c.raw)
		return nil
	}
	message := appendHTTPBody(nil, contentType, c.raw)
	var err error
	c.wire, err = c.binding.body.field.AppendMessage(c.wire, message)
	return err
}

// appendForm maps a form like a query (SEMANTICS 22).
func (c *restCall) appendForm() error {
	b := c.binding
	q := b.query.forForm(b)
	var err error
	if b.body.kind == bodyAll {
		c.wire, err = q.appendTo(c.wire, string(c.raw))
		return err
	}
	message, err := q.appendTo(nil, string(c.raw))
	if err != nil {
		return err
	}
	c.wire, err = b.body.field.AppendMessage(c.wire, message)
	return err
}

// appendProto takes a message in wire format.
func (c *restCall) appendProto() error {
	b := &c.binding.body
	if b.plan == nil {
		return badRequest("body: a field of this kind cannot be sent in wire format; send JSON")
	}
	if err := b.plan.CheckWire(c.raw); err != nil {
		return badRequest("body: not a valid message in wire format: %v", err)
	}
	if b.kind == bodyAll {
		c.wire = append(c.wire, c.raw...)
		return nil
	}
	var err error
	c.wire, err = b.field.AppendMessage(c.wire, c.raw)
	return err
}

// appendMask fills an unset FieldMask of a PATCH from the body's keys
// (SEMANTICS 23).
func (c *restCall) appendMask() error {
	b := &c.binding.body
	if c.binding.query.names(c.r.URL.RawQuery, b.mask.Path()) {
		return nil
	}
	paths, err := b.plan.MaskPaths(c.raw)
	if err != nil {
		return badRequest("body: %v", err)
	}
	c.wire, err = b.mask.AppendMaskPaths(c.wire, paths)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}
