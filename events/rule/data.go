package rule

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/projection"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// data makes the data of events.
type data struct {
	request, response *fields // nil for one of which nothing is told
	// both tells that the data has a member for each of the two.
	both bool
	json jsonwire.Output
	// binary is encoding: PROTOBUF.
	binary bool
	schema string
}

// fields are what is told of one message.
type fields struct {
	*projection.Projection
	plan *jsonwire.Plan
}

// layout makes the data of a rule for each of its moments.
type layout struct {
	c    *compiler
	json jsonwire.Output
	find func(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
	key  []byte
}

func newLayout(c *compiler, o Options) layout {
	l := layout{c: c, json: c.output(o)}
	if known, ok := c.SchemaExtensions().(interface {
		FindMessageByName(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
	}); ok {
		l.find = known.FindMessageByName
	}
	if c.rule.GetSensitive() == transomv1.EventRule_HASH {
		l.key = c.ends.key
		switch {
		case c.ends.keyErr != nil:
			c.fail("sensitive", "events.hash_key of the configuration: %v", c.ends.keyErr)
		case len(l.key) < 32:
			c.fail("sensitive", "found HASH, which needs events.hash_key of the configuration, of 32 bytes at least")
			l.key = make([]byte, 32)
		}
	}
	if c.rule.GetEncoding() == transomv1.EventRule_PROTOBUF && len(c.rule.GetFields()) == 0 {
		c.fail("encoding", "found PROTOBUF without fields: add them, such as \"*\"")
	}
	return l
}

// of is the data at a moment.
func (l *layout) of(m transomv1.EventRule_Moment) *data {
	if l.c == nil || len(l.c.rule.GetFields()) == 0 {
		return nil
	}
	c := l.c
	d := &data{json: l.json, binary: c.rule.GetEncoding() == transomv1.EventRule_PROTOBUF}
	var paths [2][]string
	var named [2]bool
	for i, path := range c.rule.GetFields() {
		at := fmt.Sprintf("fields[%d]", i)
		response, rest := side(path, m)
		n := 0
		if response {
			n = 1
		}
		named[n] = true
		of := c.message(at, path, response, m)
		if of == nil {
			continue
		}
		if _, err := projection.New(of, projection.Options{Paths: []string{rest}, HashKey: l.key}); err != nil {
			c.fail(at, "found %q: %v", path, err)
			continue
		}
		paths[n] = append(paths[n], rest)
	}
	d.both = named[0] && named[1]
	if d.both && d.binary {
		c.fail("encoding", "found PROTOBUF, but fields of the request and of the response: expected those of one message, whose bytes the data is")
	}
	d.request, d.response = l.fields(c.request(), paths[0]), l.fields(c.response(), paths[1])
	d.schema = schemaOf(c.ends.source, d)
	return d
}

func (l *layout) fields(m protoreflect.MessageDescriptor, paths []string) *fields {
	if len(paths) == 0 || m == nil {
		return nil
	}
	p, err := projection.New(m, projection.Options{Paths: paths, HashKey: l.key, Find: l.find})
	if err != nil {
		return nil // it was said
	}
	return &fields{p, jsonwire.NewPlans(p).Message(p.Descriptor())}
}

// schemaOf is the URL of the data's type, for PROTOBUF (Events 123).
func schemaOf(source string, d *data) string {
	of := d.request
	if of == nil {
		of = d.response
	}
	if !d.binary || of == nil {
		return ""
	}
	name := string(of.Descriptor().FullName())
	if strings.Contains(source, "://") {
		return strings.TrimSuffix(source, "/") + "/schemas/" + name
	}
	return "https://type.googleapis.com/" + name
}

// trouble is what became of data that could not be written.
type trouble int

const (
	none trouble = iota
	tooLarge
	invalid
)

var empty = []byte("{}")

// append writes the data. What is wrong with it leaves it empty.
func (d *data) append(f *facts) (made []byte, what trouble) {
	if d == nil {
		return empty, none
	}
	dst := make([]byte, 0, 256)
	var err error
	switch {
	case !d.both && d.response != nil:
		dst, err = d.one(dst, d.response, f.response)
	case !d.both && d.request != nil:
		dst, err = d.one(dst, d.request, f.request)
	case d.both:
		dst, err = d.two(dst, f)
	case !d.binary:
		dst = empty
	}
	var large *jsonwire.TooLargeError
	switch {
	case err == nil:
		return dst, none
	case errors.As(err, &large):
		return d.nothing(), tooLarge
	}
	return d.nothing(), invalid
}

// nothing is data that says nothing: it is there all the same, for a record without a value is a
// tombstone in Kafka (Events 124).
func (d *data) nothing() []byte {
	if d != nil && d.binary {
		return []byte{}
	}
	return empty
}

// two writes the members request and response.
func (d *data) two(dst []byte, f *facts) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	if d.request != nil && f.request != nil {
		if dst, err = d.one(append(dst, `"request":`...), d.request, f.request); err != nil {
			return dst, err
		}
	}
	if d.response != nil && f.response != nil {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		if dst, err = d.one(append(dst, `"response":`...), d.response, f.response); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// one writes what is told of a message; nil is one that is not known.
func (d *data) one(dst []byte, of *fields, message []byte) ([]byte, error) {
	switch {
	case message == nil:
		return append(dst, d.nothing()...), nil
	case d.binary:
		return of.Append(dst, message)
	case !of.Rewrites():
		return of.plan.AppendJSON(dst, message, d.json)
	}
	less, err := of.Append(make([]byte, 0, len(message)), message)
	if err != nil {
		return dst, err
	}
	return of.plan.AppendJSON(dst, less, d.json)
}
