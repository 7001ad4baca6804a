package openapi

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The rules in this file have no words in JSON Schema. They are told in the description, and examples
// are values that they take.

// wellKnownFits are texts of the kinds that no format or pattern says.
var wellKnownFits = map[string]string{
	"ip": "192.0.2.1", "address": "example.com", "host_and_port": "example.com:443", "ip_with_prefixlen": "192.0.2.1/24", "ipv4_with_prefixlen": "192.0.2.1/24",
	"ipv6_with_prefixlen": "2001:db8::1/64", "ip_prefix": "192.0.2.0/24", "ipv4_prefix": "192.0.2.0/24", "ipv6_prefix": "2001:db8::/32",
	"protobuf_fqn": "example.v1.Message", "protobuf_dot_fqn": ".example.v1.Message", "well_known_regex": "x-name",
}

// fitText is a text for rules of bytes of UTF-8 and of kinds without a format.
func (c *constraints) fitText(r *validate.StringRules) {
	m := r.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("well_known")); f != nil {
		if text := wellKnownFits[string(f.Name())]; text != "" {
			c.schema.fits = text
		}
		return
	}
	least, most := r.GetMinBytes(), r.GetMaxBytes()
	if r.LenBytes != nil {
		least, most = r.GetLenBytes(), r.GetLenBytes()
	}
	if least == 0 && most == 0 && r.GetPrefix() == "" && r.GetSuffix() == "" && r.GetContains() == "" {
		return
	}
	if most == 0 {
		most = max(least, r.GetMinLen(), 4) + uint64(len(r.GetPrefix())+len(r.GetContains())+len(r.GetSuffix()))
	}
	size := int(min(max(least, r.GetMinLen(), 1), most, maxMatch)) //nolint:gosec // it is bounded
	c.schema.fits = within(r.GetPrefix(), r.GetContains(), r.GetSuffix(), size)
}

// within is a text with others at its begin, in it and at its end, as long as it has to be at least.
func within(prefix, inner, suffix string, least int) string {
	missing := max(0, least-len(prefix)-len(inner)-len(suffix))
	return prefix + strings.Repeat("x", missing) + inner + suffix
}

// bytes adds the rules of bytes, which JSON has as base64.
func (c *constraints) bytes(r *validate.BytesRules) {
	least, most := r.GetMinLen(), r.MaxLen
	if r.Len != nil {
		least, most = r.GetLen(), r.Len
	}
	if least > 0 {
		c.remarkf("at least %d bytes", least)
	}
	if most != nil {
		c.remarkf("at most %d bytes", *most)
	}
	if r.GetPattern() != "" {
		c.remarkf("matches `%s` (RE2)", r.GetPattern())
	}
	for _, part := range []struct {
		words string
		bytes []byte
	}{{"begin with", r.GetPrefix()}, {"end with", r.GetSuffix()}, {"contain", r.GetContains()}} {
		if len(part.bytes) > 0 {
			c.remarkf("%s %s in base64", part.words, base64.StdEncoding.EncodeToString(part.bytes))
			c.zero = false
		}
	}
	if m := r.ProtoReflect(); m.WhichOneof(m.Descriptor().Oneofs().ByName("well_known")) != nil {
		c.remarkf("%s", wellKnownName(m))
		c.zero = false
	}
	c.zero = c.zero && least == 0
	c.byteChoices(r)
	size := int(min(max(least, 1), 1000)) //nolint:gosec // it is bounded
	if most != nil {
		size = min(size, int(min(*most, 1000))) //nolint:gosec // it is bounded
	}
	if !c.schema.has("const") && !c.schema.has("enum") {
		c.schema.fits = base64.StdEncoding.EncodeToString(fitBytes(r, size))
	}
}

// byteChoices are const, in and not_in. Base64 has one text for bytes alone that writers write, and
// readers take others.
func (c *constraints) byteChoices(r *validate.BytesRules) {
	texts := func(of ...[]byte) string {
		var all []string
		for _, b := range of {
			all = append(all, "`"+base64.StdEncoding.EncodeToString(b)+"`")
		}
		return strings.Join(all, ", ")
	}
	has := func(of [][]byte) bool { return slices.ContainsFunc(of, func(b []byte) bool { return len(b) == 0 }) }
	if r.Const != nil {
		c.remarkf("is %s in base64", texts(r.GetConst()))
		c.zero = c.zero && len(r.GetConst()) == 0
	}
	if len(r.GetIn()) > 0 {
		c.remarkf("one of %s in base64", texts(r.GetIn()...))
		c.zero = c.zero && has(r.GetIn())
	}
	if len(r.GetNotIn()) > 0 {
		c.remarkf("none of %s in base64", texts(r.GetNotIn()...))
		c.zero = c.zero && !has(r.GetNotIn())
	}
}

// fitBytes are bytes that rules take.
func fitBytes(r *validate.BytesRules, size int) []byte {
	switch {
	case r.Const != nil:
		return r.GetConst()
	case len(r.GetIn()) > 0:
		return r.GetIn()[0]
	case r.GetIp(), r.GetIpv4():
		return netip.MustParseAddr("192.0.2.1").AsSlice()
	case r.GetIpv6(), r.GetUuid():
		return netip.MustParseAddr("2001:db8::1").AsSlice()
	}
	return []byte(within(string(r.GetPrefix()), string(r.GetContains()), string(r.GetSuffix()), size))
}

// boundWords are what rules of times are called.
var boundWords = []struct {
	name  protoreflect.Name
	words string
}{
	{"const", "is %s"}, {"lt", "less than %s"}, {"lte", "at most %s"}, {"gt", "more than %s"}, {"gte", "at least %s"}, {"in", "one of %s"}, {"not_in", "none of %s"},
	{"lt_now", "in the past"}, {"gt_now", "in the future"}, {"within", "at most %s from now"},
}

// times adds the rules of a Duration, a Timestamp, a FieldMask or an Any.
func (c *constraints) times(rules protoreflect.Message) {
	fields := rules.Descriptor().Fields()
	for _, bound := range boundWords {
		f := fields.ByName(bound.name)
		switch {
		case f == nil || !rules.Has(f):
		case !strings.Contains(bound.words, "%s"):
			c.remarkf("%s", bound.words)
		default:
			c.remarkf(bound.words, strings.Join(valueTexts(f, rules.Get(f)), ", "))
		}
	}
	switch r := rules.Interface().(type) {
	case *validate.DurationRules:
		c.fitDuration(r)
	case *validate.TimestampRules:
		c.fitTimestamp(r)
	case *validate.FieldMaskRules:
		if r.Const != nil {
			c.schema.fits = strings.Join(r.GetConst().GetPaths(), ",")
		} else if len(r.GetIn()) > 0 {
			c.schema.fits = r.GetIn()[0]
		}
	}
}

// valueTexts are the values of a rule as JSON has them.
func valueTexts(f protoreflect.FieldDescriptor, v protoreflect.Value) (texts []string) {
	if f.IsList() {
		for i := range v.List().Len() {
			texts = append(texts, "`"+valueText(v.List().Get(i))+"`")
		}
		return texts
	}
	return []string{"`" + valueText(v) + "`"}
}

func valueText(v protoreflect.Value) string {
	m, ok := v.Interface().(protoreflect.Message)
	if !ok {
		return v.String()
	}
	switch t := m.Interface().(type) {
	case *durationpb.Duration:
		return durationText(t.AsDuration())
	case *timestamppb.Timestamp:
		return t.AsTime().Format(time.RFC3339Nano)
	}
	if paths := m.Descriptor().Fields().ByName("paths"); paths != nil && paths.IsList() {
		var names []string
		for i := range m.Get(paths).List().Len() {
			names = append(names, m.Get(paths).List().Get(i).String())
		}
		return strings.Join(names, ",")
	}
	return fmt.Sprint(m.Interface())
}

// durationText is a Duration as JSON has it.
func durationText(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

func (c *constraints) fitDuration(r *validate.DurationRules) {
	var allowed, refused []int64
	for _, d := range r.GetIn() {
		allowed = append(allowed, int64(d.AsDuration()))
	}
	for _, d := range r.GetNotIn() {
		refused = append(refused, int64(d.AsDuration()))
	}
	if r.Const != nil {
		allowed = []int64{int64(r.GetConst().AsDuration())}
	}
	b := bounded{usual: int64(3 * time.Second), unit: int64(time.Second), allowed: allowed, refused: refused}
	b.low(r.GetGte() != nil, int64(r.GetGte().AsDuration()), 0)
	b.low(r.GetGt() != nil, int64(r.GetGt().AsDuration()), 1)
	b.high(r.GetLte() != nil, int64(r.GetLte().AsDuration()), 0)
	b.high(r.GetLt() != nil, int64(r.GetLt().AsDuration()), 1)
	if n, ok := b.fit(); ok {
		c.schema.fits = durationText(time.Duration(n))
	}
}

func (c *constraints) fitTimestamp(r *validate.TimestampRules) {
	if r.GetWithin() != nil {
		return // no text stays near to now
	}
	usual := time.Date(2024, 5, 17, 12, 30, 0, 0, time.UTC)
	if r.GetGtNow() {
		usual = usual.AddDate(100, 0, 0)
	}
	b := bounded{usual: usual.Unix(), unit: 60}
	if r.Const != nil {
		b.allowed = []int64{r.GetConst().GetSeconds()}
	}
	b.low(r.GetGte() != nil, r.GetGte().GetSeconds(), 1)
	b.low(r.GetGt() != nil, r.GetGt().GetSeconds(), 1)
	b.high(r.GetLte() != nil, r.GetLte().GetSeconds(), 1)
	b.high(r.GetLt() != nil, r.GetLt().GetSeconds(), 1)
	if n, ok := b.fit(); ok {
		c.schema.fits = time.Unix(n, 0).UTC().Format(time.RFC3339)
	}
}

// fitNumber is a number where rules of it are words: of 64-bit integers as strings, and of choices of
// floating-point numbers.
func (c *constraints) fitNumber(rules protoreflect.Message, text bool) {
	fields := rules.Descriptor().Fields()
	numbers := func(name protoreflect.Name) (all []int64) {
		f := fields.ByName(name)
		if f == nil || !rules.Has(f) {
			return nil
		}
		for _, t := range valueTexts(f, rules.Get(f)) {
			if n, err := strconv.ParseInt(strings.Trim(t, "`"), 10, 64); err == nil {
				all = append(all, n)
			}
		}
		return all
	}
	first := func(name protoreflect.Name) (bool, int64) {
		if all := numbers(name); len(all) > 0 {
			return true, all[0]
		}
		return false, 0
	}
	b := bounded{usual: 1, unit: 1, allowed: slices.Concat(numbers("const"), numbers("in")), refused: numbers("not_in")}
	for _, bound := range []struct {
		name protoreflect.Name
		set  func(bool, int64, int64)
		off  int64
	}{{"gte", b.low, 0}, {"gt", b.low, 1}, {"lte", b.high, 0}, {"lt", b.high, 1}} {
		given, n := first(bound.name)
		bound.set(given, n, bound.off)
	}
	if n, ok := b.fit(); ok && text {
		c.schema.fits = strconv.FormatInt(n, 10)
	} else if ok {
		c.schema.fits = n
	}
}

// bounded is what rules say of a whole number.
type bounded struct {
	usual, unit      int64 // what is taken where it fits, and what others are multiples of
	allowed, refused []int64
	least, most      *int64
}

// low and high set a bound, off what it is by off.
func (b *bounded) low(given bool, n, off int64) {
	if given {
		n += off
		b.least = &n
	}
}

func (b *bounded) high(given bool, n, off int64) {
	if given {
		n -= off
		b.most = &n
	}
}

// fit is a number that the rules take.
func (b *bounded) fit() (int64, bool) {
	candidates := slices.Concat(b.allowed, []int64{b.usual})
	for _, bound := range []*int64{b.least, b.most} {
		if bound != nil {
			whole := *bound / b.unit * b.unit
			candidates = append(candidates, whole, whole+b.unit, whole-b.unit, *bound, *bound+1, *bound-1)
		}
	}
	for _, n := range candidates {
		over, under := b.least == nil || n >= *b.least, b.most == nil || n <= *b.most
		inside := over && under
		if b.least != nil && b.most != nil && *b.least > *b.most {
			inside = over || under
		}
		if inside && !slices.Contains(b.refused, n) && (len(b.allowed) == 0 || slices.Contains(b.allowed, n)) {
			return n, true
		}
	}
	return 0, false
}
