package rule

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/internal/tag"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// value is a field whose value is an attribute.
type value struct {
	response bool
	text     tag.Template
	form     *canonical.Form
}

// of is the value in a call, "" where there is none.
func (v *value) of(f *facts) string {
	message := f.request
	if v.response {
		message = f.response
	}
	if message == nil {
		return ""
	}
	var scratch [512]byte
	wire, err := v.form.Append(scratch[:0], message)
	if err != nil {
		return ""
	}
	return v.text.Render(wire)
}

// side tells which message a path is of, and the path in it (Events 131).
func side(path string, m transomv1.EventRule_Moment) (response bool, rest string) {
	if rest, ok := strings.CutPrefix(path, "request."); ok {
		return false, rest
	}
	if rest, ok := strings.CutPrefix(path, "response."); ok {
		return true, rest
	}
	return m == transomv1.EventRule_RESPONSE, path
}

// value finds the field of a path; nil where there is none at that moment.
func (c *compiler) value(field, path string, m transomv1.EventRule_Moment) *value {
	response, rest := side(path, m)
	d := c.message(field, path, response, m)
	if d == nil {
		return nil
	}
	if err := plainField(d, rest); err != nil {
		c.fail(field, "found %q: %v", path, err)
		return nil
	}
	text, err := tag.Parse("{"+rest+"}", d, d)
	if err != nil {
		c.fail(field, "found %q: %s", path, strings.TrimPrefix(err.Error(), fmt.Sprintf("found %q: ", "{"+rest+"}")))
		return nil
	}
	return &value{response, text, canonical.New(d)}
}

// plainField refuses a path that is wrong, or that leads to what is sensitive.
func plainField(d protoreflect.MessageDescriptor, path string) error {
	if strings.Contains(path, "*") {
		return fmt.Errorf("expected one field, not all")
	}
	_, err := projection.New(d, projection.Options{Paths: []string{path}})
	return err
}

// message is the type of the message that a path is of; nil where there is none at that moment,
// which is said where it never is.
func (c *compiler) message(field, path string, response bool, m transomv1.EventRule_Moment) protoreflect.MessageDescriptor {
	switch {
	case response && c.response() == nil:
		c.fail(field, "found %q, but %s answers with a stream of messages, of which none is the answer: name fields of the request", path, c.Method.FullName())
	case !response && c.request() == nil:
		c.fail(field, "found %q, but %s takes a stream of messages, of which none is the request: name fields of the response", path, c.Method.FullName())
	case response && m != transomv1.EventRule_RESPONSE:
		if !c.has(transomv1.EventRule_RESPONSE) {
			c.fail(field, "found %q, but there is no response at %v: add RESPONSE to on, or name fields of the request", path, m)
		}
	case response:
		return c.response()
	default:
		return c.request()
	}
	return nil
}

// has reports whether the rule is for a moment.
func (c *compiler) has(m transomv1.EventRule_Moment) bool {
	for _, on := range c.rule.GetOn() {
		if on == m {
			return true
		}
	}
	return len(c.rule.GetOn()) == 0 && m == transomv1.EventRule_RESPONSE
}

// key is what events are ordered by: a field, a header, or neither for the principal (Events 127).
func (c *compiler) key(m transomv1.EventRule_Moment) (v *value, header string, none bool) {
	switch key := c.rule.GetKey(); {
	case key == "" || key == "principal":
		return nil, "", false
	case key == "none":
		return nil, "", true
	case strings.HasPrefix(key, "header."):
		return nil, c.keyHeader(strings.TrimPrefix(key, "header.")), false
	case c.PlainHTTP():
		c.fail("key", "found %q, expected \"principal\", \"none\" or \"header.NAME\": a plain HTTP route has no message", key)
		return nil, "", true
	default:
		v = c.value("key", key, m)
		return v, "", v == nil
	}
}

func (c *compiler) keyHeader(header string) string {
	lower := strings.ToLower(header)
	switch {
	case c.HeaderProblem(header, false) != "" && lower != "host":
		c.fail("key", "found %q, expected the name of a header behind \"header.\"", c.rule.GetKey())
	case lower == "authorization", lower == "cookie", lower == "proxy-authorization", strings.HasPrefix(lower, field.OwnPrefix):
		c.fail("key", "found %q, which holds what proves who calls, and a key leaves with the event: choose another", c.rule.GetKey())
	}
	return lower
}
