package mirror

import (
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

const canonicalHeader = "X-Transom-Mirror"

// credentials are the fields of a header, in the form of field.Bare, that say who the caller
// is or prove it, or may hold a URL that does.
var credentials = []string{
	"authorization", "cookie", "referer", "api-key", "x-api-key", "x-auth-token", "x-access-token", "x-csrf-token", "x-xsrf-token", "x-amz-security-token",
}

// parameters are those of a query that do, in lower case.
var parameters = []string{
	"access_token", "id_token", "refresh_token", "token", "api_key", "apikey", "client_secret", "password",
}

// isCredential reports whether a header or metadata of that name is left out of redacted
// copies, in any spelling.
func isCredential(name string) bool { return slices.Contains(credentials, field.Bare(name)) }

// redactRequest takes the credentials out of a plain HTTP request.
func redactRequest(c *httpbackend.Copy) {
	for name := range c.Header {
		if isCredential(name) {
			delete(c.Header, name)
		}
	}
	path, query, asked := strings.Cut(c.Target, "?")
	if !asked {
		return
	}
	kept := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	kept = slices.DeleteFunc(kept, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		return err != nil || slices.Contains(parameters, strings.ToLower(plain))
	})
	if c.Target = path; len(kept) > 0 {
		c.Target += "?" + strings.Join(kept, "&")
	}
}

// maxDepth is how deep messages may nest.
const maxDepth = 100

// redactor takes out of messages in wire format what is marked sensitive, and what the schema
// does not know: nobody can say what that is.
type redactor struct {
	fields map[protowire.Number]kept // those that stay
}

// kept is a field that stays.
type kept struct {
	kind   protowire.Type
	packed bool      // it may be packed, too
	inner  *redactor // of a message; nil for another value, which stays as it is
}

// is reports whether a value on the wire is one of the field.
func (k *kept) is(kind protowire.Type) bool {
	return kind == k.kind || k.packed && kind == protowire.BytesType
}

// newRedactor makes that of a message.
func newRedactor(d protoreflect.MessageDescriptor) *redactor {
	return redactorOf(d, map[protoreflect.FullName]*redactor{})
}

func redactorOf(d protoreflect.MessageDescriptor, known map[protoreflect.FullName]*redactor) *redactor {
	if r, ok := known[d.FullName()]; ok {
		return r
	}
	r := &redactor{fields: map[protowire.Number]kept{}}
	known[d.FullName()] = r
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		switch {
		case schema.FieldOptions(f).GetSensitive():
		case d.FullName() == "google.protobuf.Any" && f.Number() == 2: // what it holds nobody has looked at
		default:
			k := kept{kind: wireTypes[f.Kind()]}
			k.packed = f.IsList() && k.kind != protowire.BytesType && k.kind != protowire.StartGroupType
			if f.Message() != nil {
				k.inner = redactorOf(f.Message(), known)
			}
			r.fields[f.Number()] = k
		}
	}
	return r
}

// wireTypes are how values of kinds are written; 0, a varint, for what is not named.
var wireTypes = map[protoreflect.Kind]protowire.Type{
	protoreflect.Fixed32Kind: protowire.Fixed32Type, protoreflect.Sfixed32Kind: protowire.Fixed32Type, protoreflect.FloatKind: protowire.Fixed32Type,
	protoreflect.Fixed64Kind: protowire.Fixed64Type, protoreflect.Sfixed64Kind: protowire.Fixed64Type, protoreflect.DoubleKind: protowire.Fixed64Type,
	protoreflect.StringKind: protowire.BytesType, protoreflect.BytesKind: protowire.BytesType, protoreflect.MessageKind: protowire.BytesType,
	protoreflect.GroupKind: protowire.StartGroupType,
}

// redact returns a message without what is sensitive, and reports whether it is one.
func (r *redactor) redact(message []byte) ([]byte, bool) {
	return r.add(make([]byte, 0, len(message)), message, 0)
}

// add appends what stays of a message.
func (r *redactor) add(to, message []byte, depth int) ([]byte, bool) {
	if depth > maxDepth {
		return nil, false
	}
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return nil, false
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return nil, false
		}
		whole := message[:tag+size]
		message = message[tag+size:]
		k, stays := r.fields[number]
		switch {
		case !stays || !k.is(kind):
			continue
		case k.inner == nil:
			to = append(to, whole...)
			continue
		}
		var ok bool
		if to, ok = k.inner.addField(to, number, kind, whole[tag:], depth+1); !ok {
			return nil, false
		}
	}
	return to, true
}

// addField appends what stays of a field that is a message.
func (r *redactor) addField(to []byte, number protowire.Number, kind protowire.Type, value []byte, depth int) ([]byte, bool) {
	to = protowire.AppendTag(to, number, kind)
	if kind == protowire.StartGroupType {
		text, _ := protowire.ConsumeGroup(number, value)
		to, ok := r.add(to, text, depth)
		return protowire.AppendTag(to, number, protowire.EndGroupType), ok
	}
	text, _ := protowire.ConsumeBytes(value)
	inner, ok := r.add(make([]byte, 0, len(text)), text, depth)
	return protowire.AppendBytes(to, inner), ok
}
