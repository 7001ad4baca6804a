package transcoder

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// maxParameters bounds the parameters of one query or form.
const maxParameters = 1000

// query turns query parameters into fields of the request (SEMANTICS 14–17).
type query struct {
	input *jsonwire.Plan
	// fields are the parameters whose names are known at load time: the fields of
	// the request by proto name and JSON name.
	fields map[string]*jsonwire.Field
	// bound are the proto paths that the path or the body fills already.
	bound []string
	// closed: the body is the whole message and there are no parameters.
	closed      bool
	ignoreAll   bool
	ignoreBound bool // parameters that meet bound, or a body that is the whole message
	literalPlus bool
	ignored     map[string]bool
}

func newQuery(b *Binding) *query {
	q := &query{
		input:     b.Method.input,
		fields:    map[string]*jsonwire.Field{},
		closed:    b.body.kind == bodyAll,
		ignoreAll: b.Method.Settings.IgnoreUnknownQuery,
		ignored:   b.Method.Settings.IgnoredQuery,

		ignoreBound: b.Method.Settings.IgnoreBoundQuery,
		literalPlus: b.Method.Settings.LiteralPlus,
	}
	for _, v := range b.Template.Variables {
		q.bound = append(q.bound, v.FieldPath)
	}
	if b.body.kind == bodyField {
		q.bound = append(q.bound, b.body.field.Path())
	}
	q.addFields(b.Method.Descriptor.Input())
	return q
}

// newForm is the query of a form body: its parameters are those of the message
// that the body maps to.
func newForm(b *Binding) *query {
	if b.body.plan == nil || b.body.raw {
		return nil
	}
	q := &query{
		input:     b.body.plan,
		fields:    map[string]*jsonwire.Field{},
		ignoreAll: b.query.ignoreAll,
		ignored:   b.query.ignored,
	}
	message := b.Method.Descriptor.Input()
	if b.body.kind == bodyField {
		message = b.body.field.Descriptor().Message()
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

// names reports whether a raw query has a parameter for the path or below it.
func (q *query) names(raw, path string) bool {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, _, err := q.unescapePair(pair)
		if err != nil {
			continue // appendTo refuses it
		}
		name, _, _ = mapKey(name)
		field := q.fields[name]
		if field == nil {
			field, _ = q.input.Field(name)
		}
		if field != nil && (field.Path() == path || strings.HasPrefix(field.Path(), path+".")) {
			return true
		}
	}
	return false
}

// seen remembers which singular fields and oneofs a query has filled.
type seen struct {
	paths  []string
	oneofs []filledOneof
}

// filledOneof is a oneof of one message in the tree of the request.
type filledOneof struct {
	parent string
	oneof  protoreflect.OneofDescriptor
	field  string
}

// appendTo appends the parameters of a raw query to the request in wire form.
func (q *query) appendTo(dst []byte, raw string) ([]byte, error) {
	var s seen
	for n := 0; raw != ""; n++ {
		if n == maxParameters {
			return dst, badRequest("the query has more than %d parameters", maxParameters)
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
		if dst, err = q.appendOne(dst, name, value, &s); err != nil {
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
		return "", "", badRequest("query parameter %q: malformed percent-encoding", clip(pair))
	}
	return name, value, nil
}

func unescapeQuery(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

func (q *query) appendOne(dst []byte, name, value string, s *seen) ([]byte, error) {
	path, key, isMap := mapKey(name)
	field := q.fields[path]
	if field == nil && !q.closed {
		field, _ = q.input.Field(path)
	}
	switch {
	case q.ignored[name]:
		return dst, nil
	case q.closed:
		if q.ignoreAll || q.ignoreBound {
			return dst, nil
		}
		return dst, badRequest("query parameter %q: the body is the whole message; put it there", clip(name))
	case field == nil && q.ignoreAll:
		return dst, nil
	case field == nil:
		_, err := q.input.Field(path)
		return dst, badRequest("unknown query parameter %q: %v", clip(name), err)
	}
	if taken := q.takenBy(field.Path()); taken != "" {
		if q.ignoreBound {
			return dst, nil
		}
		return dst, badRequest("query parameter %q: %s is already set by the path or the body", clip(name), taken)
	}
	var err error
	if isMap {
		if reason := s.fillKey(field, key); reason != "" {
			return dst, badRequest("query parameter %q: %s", clip(name), reason)
		}
		dst, err = field.AppendMapText(dst, key, value)
	} else {
		if reason := s.fill(field); reason != "" {
			return dst, badRequest("query parameter %q: %s", clip(name), reason)
		}
		dst, err = field.AppendText(dst, value)
	}
	if err != nil {
		return dst, badRequest("query parameter %q: %v", clip(name), err)
	}
	return dst, nil
}

// mapKey splits map[key].
func mapKey(name string) (path, key string, ok bool) {
	open := strings.IndexByte(name, '[')
	if open < 0 || !strings.HasSuffix(name, "]") {
		return name, "", false
	}
	return name[:open], name[open+1 : len(name)-1], true
}

// takenBy returns the bound path that is the field, above it or below it.
func (q *query) takenBy(path string) string {
	for _, b := range q.bound {
		if b == path || strings.HasPrefix(path, b+".") || strings.HasPrefix(b, path+".") {
			return b
		}
	}
	return ""
}

// fillKey notes that a key of a map is set and says why it must not be. JSON has no
// key twice either.
func (s *seen) fillKey(f *jsonwire.Field, key string) string {
	name := f.Path() + "[" + key + "]"
	if slices.Contains(s.paths, name) {
		return "given twice, and a key of a map has one value"
	}
	s.paths = append(s.paths, name)
	return ""
}

// fill notes that a field is set and says why it must not be.
func (s *seen) fill(f *jsonwire.Field) string {
	d := f.Descriptor()
	path := f.Path()
	if !d.IsList() && !d.IsMap() {
		for _, p := range s.paths {
			if p == path {
				return "given twice, and it is not a repeated field"
			}
		}
		s.paths = append(s.paths, path)
	}
	for _, member := range f.Oneofs() {
		for _, o := range s.oneofs {
			if o.oneof == member.Oneof && o.parent == member.Parent && o.field != member.Name {
				return "sets a second member of the oneof " + string(o.oneof.Name()) + "; " + o.field + " is set already"
			}
		}
		s.oneofs = append(s.oneofs, filledOneof{parent: member.Parent, oneof: member.Oneof, field: member.Name})
	}
	return ""
}

// badRequest is INVALID_ARGUMENT with HTTP 400.
func badRequest(format string, args ...any) error {
	return NewStatusError(http.StatusBadRequest, codes.InvalidArgument, format, args...)
}
