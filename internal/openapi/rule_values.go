package openapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// enumJSON is a value of an enum as JSON has it.
func enumJSON(e protoreflect.EnumDescriptor, n int32, in form) any {
	v := e.Values().ByNumber(protoreflect.EnumNumber(n))
	if in.enumNumbers || v == nil {
		return int64(n)
	}
	return jsonwire.EnumName(v)
}

// Patterns of formats that are the same for protovalidate.
const (
	uuidPattern  = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
	tuuidPattern = "^[0-9a-fA-F]{32}$"
	ulidPattern  = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"
)

// text adds the rules of a string.
func (c *constraints) text(r *validate.StringRules) {
	c.lengths(r)
	c.patterns(r)
	if r.Const != nil {
		c.schema.put("const", r.GetConst())
		c.zero = c.zero && r.GetConst() == ""
	}
	if len(r.GetIn()) > 0 {
		c.schema.put("enum", texts(r.GetIn()))
		c.zero = c.zero && slices.Contains(r.GetIn(), "")
	}
	if len(r.GetNotIn()) > 0 {
		c.also(obj("not", obj("enum", texts(r.GetNotIn()))))
		c.zero = c.zero && !slices.Contains(r.GetNotIn(), "")
	}
	c.wellKnown(r)
}

func (c *constraints) lengths(r *validate.StringRules) {
	least, most := r.GetMinLen(), r.MaxLen
	if r.Len != nil {
		least, most = r.GetLen(), r.Len
	}
	if least > 0 {
		c.schema.put("minLength", int64(min(least, 1<<53))) //nolint:gosec // it is bounded
		c.zero = false
	}
	if most != nil {
		c.schema.put("maxLength", int64(min(*most, 1<<53))) //nolint:gosec // it is bounded
	}
	for _, bytes := range []struct {
		what  string
		bound *uint64
	}{{"at least", r.MinBytes}, {"at most", r.MaxBytes}, {"exactly", r.LenBytes}} {
		if bytes.bound != nil {
			c.remarkf("%s %d bytes of UTF-8", bytes.what, *bytes.bound)
			c.zero = c.zero && (bytes.what == "at most" || *bytes.bound == 0)
		}
	}
}

func (c *constraints) patterns(r *validate.StringRules) {
	if r.Pattern != nil {
		if pattern, ok := ecmaPattern(r.GetPattern()); ok {
			c.also(obj("pattern", pattern))
		} else {
			c.remarkf("matches `%s` (RE2)", r.GetPattern())
		}
		re, err := regexp.Compile(r.GetPattern())
		c.zero = c.zero && (err != nil || re.MatchString(""))
	}
	for _, part := range []struct{ text, before, behind string }{
		{r.GetPrefix(), "^", ""}, {r.GetSuffix(), "", "$"}, {r.GetContains(), "", ""},
	} {
		if part.text != "" {
			c.also(obj("pattern", part.before+quotePattern(part.text)+part.behind))
			c.zero = false
		}
	}
	if r.GetNotContains() != "" {
		c.also(obj("not", obj("pattern", quotePattern(r.GetNotContains()))))
	}
}

// wellKnown adds the rules of known kinds of text. What JSON Schema calls a format is for
// most validators a remark; patterns are none.
func (c *constraints) wellKnown(r *validate.StringRules) {
	format, pattern, words := "", "", ""
	switch {
	case r.GetEmail():
		format = "email"
	case r.GetHostname():
		format = "hostname"
	case r.GetIpv4():
		format = "ipv4"
	case r.GetIpv6():
		format = "ipv6"
	case r.GetUri():
		format = "uri"
	case r.GetUriRef():
		format = "uri-reference"
		c.schema.put("format", format)
		return // which an empty text is
	case r.GetUuid():
		format, pattern = "uuid", uuidPattern
	case r.GetTuuid():
		pattern = tuuidPattern
	case r.GetUlid():
		pattern = ulidPattern
	case r.GetIp():
		words = "an IP address"
	case r.GetAddress():
		words = "a host name or an IP address"
	case r.GetHostAndPort():
		words = "a host and a port"
	default:
		if r.GetWellKnown() != nil {
			c.remarkf("%s", wellKnownName(r.ProtoReflect()))
		}
		return
	}
	c.zero = false
	c.schema.set("format", format)
	if pattern != "" {
		c.also(obj("pattern", pattern))
	}
	if words != "" {
		c.remarkf("%s", words)
	}
}

// wellKnownName is the name of a kind of text that has no schema.
func wellKnownName(m protoreflect.Message) string {
	name := ""
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("well_known")); f != nil {
		name = strings.ReplaceAll(string(f.Name()), "_", " ")
	}
	return name
}

// number adds the rules of a number. 64-bit integers are strings, unless the form has them
// as numbers: of them there are only words.
func (c *constraints) number(f protoreflect.FieldDescriptor, r *validate.FieldRules) {
	m := r.ProtoReflect()
	of := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	rules := m.Get(of).Message()
	numeric := false
	switch kind, _ := scalarSchema(f.Kind(), c.form).get("type").(string); kind {
	case "number", "integer":
		numeric = f.Message() == nil && f.Kind() != protoreflect.EnumKind
	}
	get := func(name protoreflect.Name) (text string, ok bool) {
		d := rules.Descriptor().Fields().ByName(name)
		if d == nil || !rules.Has(d) {
			return "", false
		}
		if d.Message() != nil {
			return string(name), true
		}
		return jsonNumber(rules.Get(d))
	}
	if f.Message() != nil {
		c.times(rules)
		return
	}
	c.bounds(get, numeric)
	c.choices(rules, numeric && f.Kind() != protoreflect.FloatKind)
	c.fitNumber(rules, !numeric)
}

// bounds are lt, lte, gt and gte. Where the upper one is below the lower one, what lies
// between is refused.
func (c *constraints) bounds(get func(protoreflect.Name) (string, bool), numeric bool) {
	bound := func(names ...[2]string) (o *object, value float64, words string, closed bool) {
		for i, name := range names {
			if text, ok := get(protoreflect.Name(name[0])); ok {
				value, _ = strconv.ParseFloat(text, 64)
				return obj(name[1], number(text)), value, map[string]string{"lt": "less than ", "lte": "at most ", "gt": "more than ", "gte": "at least "}[name[0]] + text, i == 0
			}
		}
		return nil, 0, "", false
	}
	upper, high, atMost, upClosed := bound([2]string{"lte", "maximum"}, [2]string{"lt", "exclusiveMaximum"})
	lower, low, atLeast, downClosed := bound([2]string{"gte", "minimum"}, [2]string{"gt", "exclusiveMinimum"})
	under := upper == nil || 0 < high || upClosed && high == 0
	above := lower == nil || 0 > low || downClosed && low == 0
	outside := upper != nil && lower != nil && high < low
	if outside {
		c.zero = c.zero && (under || above)
	} else {
		c.zero = c.zero && under && above
	}
	switch {
	case !numeric:
		c.remarks = append(c.remarks, slices.DeleteFunc([]string{atLeast, atMost}, func(s string) bool { return s == "" })...)
	case outside:
		c.also(obj("anyOf", list{upper, lower}))
	default:
		for _, o := range []*object{lower, upper} {
			if o != nil {
				c.tighten(o)
			}
		}
	}
}

// tighten sets a bound in place of one that the type has.
func (c *constraints) tighten(bound *object) {
	name := bound.keys[0]
	if name == "minimum" || c.schema.get(name) == nil {
		if text, ok := bound.values[0].(number); name == "minimum" && ok && strings.HasPrefix(string(text), "-") && c.schema.get(name) != nil {
			return
		}
		c.schema.put(name, bound.values[0])
		return
	}
	c.also(bound)
}

// choices are const, in and not_in.
func (c *constraints) choices(rules protoreflect.Message, numeric bool) {
	fields := rules.Descriptor().Fields()
	values := func(name protoreflect.Name) (l list, zero bool) {
		d := fields.ByName(name)
		if d == nil || !rules.Has(d) {
			return nil, false
		}
		if !d.IsList() {
			text, _ := jsonNumber(rules.Get(d))
			return list{number(text)}, text == "0"
		}
		for i := range rules.Get(d).List().Len() {
			text, _ := jsonNumber(rules.Get(d).List().Get(i))
			l, zero = append(l, number(text)), zero || text == "0"
		}
		return l, zero
	}
	for _, name := range []protoreflect.Name{"const", "in"} {
		if l, zero := values(name); l != nil {
			c.zero = c.zero && zero
			c.choice(obj("enum", l), numeric, "one of ", l)
		}
	}
	if l, zero := values("not_in"); l != nil {
		c.zero = c.zero && !zero
		c.choice(obj("not", obj("enum", l)), numeric, "none of ", l)
	}
}

func (c *constraints) choice(o *object, numeric bool, words string, of list) {
	if numeric {
		c.also(o)
		return
	}
	var names []string
	for _, v := range of {
		names = append(names, scalar(v))
	}
	c.remarkf("%s%s", words, strings.Join(names, ", "))
}

// jsonNumber is a number as JSON has it; false for one that it has not.
func jsonNumber(v protoreflect.Value) (string, bool) {
	text, err := json.Marshal(v.Interface())
	return string(text), err == nil && len(text) > 0 && text[0] != '"' && text[0] != '[' && text[0] != '{'
}
