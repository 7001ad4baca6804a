package transcoder

import (
	"net/url"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// maxParameters bounds the parameters of one query or form.
const maxParameters = 1000

// query turns query parameters into fields of the request (Semantics 14–17).
type query struct {
	input *jsonwire.Plan
	// fields are the parameters whose names are known at load time: the fields of
	// the request by proto name and JSON name.
	fields map[string]*jsonwire.Field
	// bound are the fields that the path or the body fills already.
	bound []*jsonwire.Field
	// closed: the body is the whole message and there are no parameters.
	closed      bool
	ignoreAll   bool
	ignoreBound bool // parameters that meet bound, or a body that is the whole message
	literalPlus bool
	ignored     map[string]bool
}

func newQuery(b *Binding) *query {
	q := &query{
		input:     b.Method.Input,
		fields:    map[string]*jsonwire.Field{},
		closed:    b.Body.Kind == bodyAll,
		ignoreAll: b.Method.Settings.IgnoreUnknownQuery,
		ignored:   b.Method.Settings.IgnoredQuery,

		ignoreBound: b.Method.Settings.IgnoreBoundQuery,
		literalPlus: b.Method.Settings.LiteralPlus,
	}
	q.bound = append(q.bound, b.variables...)
	if b.Body.Kind == BodyField {
		q.bound = append(q.bound, b.Body.Field)
	}
	q.addFields(b.Method.Descriptor.Input())
	return q
}

// newForm is the query of a form body: its parameters are those of the message
// that the body maps to.
func newForm(b *Binding) *query {
	if b.Body.plan == nil || b.Body.Raw {
		return nil
	}
	q := &query{
		input:     b.Body.plan,
		fields:    map[string]*jsonwire.Field{},
		ignoreAll: b.query.ignoreAll,
		ignored:   b.query.ignored,
	}
	message := b.Method.Descriptor.Input()
	if b.Body.Kind == BodyField {
		message = b.Body.Field.Descriptor().Message()
	}
	q.addFields(message)
	return q
}

func (q *query) addFields(message protoreflect.MessageDescriptor) {
	fields := message.Fields()
	for i := range fields.Len() {
		d := fields.Get(i)
		field, err := q.input.Field(string(d.Name()))
		if err != nil {
			continue // found again, with its error, when a request names it
		}
		q.fields[string(d.Name())] = field
		q.fields[d.JSONName()] = field
	}
}

// find returns the field that a parameter's name addresses. A name that a field
// has as it is stands for that field, whatever brackets and dots are in it.
func (q *query) find(name string) (f *jsonwire.Field, key string, keyed bool, err error) {
	if f := q.fields[name]; f != nil {
		return f, "", false, nil
	}
	return q.input.Parameter(name)
}

// names reports whether a raw query has a parameter for the field or below it.
func (q *query) names(raw string, field *jsonwire.Field) bool {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, _, err := q.unescapePair(pair)
		if err != nil {
			continue // appendTo refuses it
		}
		if named, _, _, err := q.find(name); err == nil && field.Overlaps(named) {
			return true
		}
	}
	return false
}

// appendTo appends the parameters of a raw query to the request in wire form.
// filled knows what else sets the request.
func (q *query) appendTo(dst []byte, raw string, filled *jsonwire.Filled) ([]byte, error) {
	for n := 0; raw != ""; n++ {
		if n == maxParameters {
			return dst, rpcerror.BadRequest("the query has more than %d parameters", maxParameters)
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, err := q.unescapePair(pair)
		if err != nil {
			return dst, err
		}
		if dst, err = q.appendOne(dst, name, value, filled); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (q *query) unescapePair(pair string) (name, value string, err error) {
	unescape := unescapeQuery
	if q.literalPlus {
		unescape = url.PathUnescape
	}
	name, value, _ = strings.Cut(pair, "=")
	if name, err = unescape(name); err == nil {
		value, err = unescape(value)
	}
	if err != nil {
		return "", "", rpcerror.BadRequest("query parameter %q: malformed percent-encoding", rpcerror.Clip(pair))
	}
	return name, value, nil
}

func unescapeQuery(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

func (q *query) appendOne(dst []byte, name, value string, filled *jsonwire.Filled) ([]byte, error) {
	if q.ignored[name] {
		return dst, nil
	}
	if q.closed {
		if q.ignoreAll || q.ignoreBound {
			return dst, nil
		}
		return dst, rpcerror.BadRequest("query parameter %q: the body is the whole message; put it there", rpcerror.Clip(name))
	}
	field, key, keyed, err := q.find(name)
	if err != nil {
		if q.ignoreAll {
			return dst, nil
		}
		return dst, rpcerror.BadRequest("unknown query parameter %q: %v", rpcerror.Clip(name), err)
	}
	if taken := q.takenBy(field); taken != nil {
		if q.ignoreBound {
			return dst, nil
		}
		return dst, rpcerror.BadRequest("query parameter %q: %s is already set by the path or the body", rpcerror.Clip(name), taken.Path())
	}
	if reason := filled.Set(field); reason != "" {
		return dst, rpcerror.BadRequest("query parameter %q: %s", rpcerror.Clip(name), reason)
	}
	mark := len(dst)
	if keyed {
		dst, err = field.AppendMapText(dst, key, value)
	} else {
		dst, err = field.AppendText(dst, value)
	}
	if err != nil {
		return dst, rpcerror.BadRequest("query parameter %q: %v", rpcerror.Clip(name), err)
	}
	if field.IsMap() && !filled.SetKeys(field, dst[mark:]) {
		return dst, rpcerror.BadRequest("query parameter %q: given twice, and a key of a map has one value", rpcerror.Clip(name))
	}
	return dst, nil
}

// takenBy returns the bound field that is the field, above it or below it.
func (q *query) takenBy(field *jsonwire.Field) *jsonwire.Field {
	for _, b := range q.bound {
		if b.Overlaps(field) {
			return b
		}
	}
	return nil
}
