package openapi

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/internal/schema"
)

// judge says which values break rules that no schema has: those in CEL, predefined ones, and the oneofs
// of messages' options. It is made when the first message with such rules is met.
type judge struct {
	api       *API
	validator protovalidate.Validator
	rules     map[protoreflect.MessageDescriptor]*exprRules
}

// exprRules are the rules of one message, and of its fields, that no schema has.
type exprRules struct {
	// texts and numbers are the literals of expressions: what a rule asks for is often one of them.
	texts, numbers []string
	// timed: an expression asks what time it is.
	timed bool
}

// Rules that ask for the time are judged at two times, so that the document does not change with the
// day on which it is made, and its examples stay valid for long.
var (
	earlyTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lateTime  = time.Date(2076, 1, 1, 0, 0, 0, 0, time.UTC)
)

// maxLiterals bounds those of one message.
const maxLiterals = 20

// literals are texts and numbers in expressions of CEL.
var literals = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\b([0-9]+(?:\.[0-9]+)?)u?\b`)

// below reports whether a message, or one that its fields lead to, has such rules.
func (j *judge) below(m protoreflect.MessageDescriptor) bool {
	for one := range schema.Reachable(m) {
		if j.of(one) != nil {
			return true
		}
	}
	return false
}

// of are the rules of a message; nil for none.
func (j *judge) of(m protoreflect.MessageDescriptor) *exprRules {
	found, known := j.rules[m]
	if !known {
		found = readRules(m)
		j.rules[m] = found
	}
	return found
}

func readRules(m protoreflect.MessageDescriptor) *exprRules {
	r := &exprRules{}
	message, _ := schema.Option(m, validate.E_Message).(*validate.MessageRules)
	some := r.read(message.GetCel(), message.GetCelExpression()) || len(message.GetOneof()) > 0
	for i := range m.Fields().Len() {
		if rules := rulesOf(m.Fields().Get(i)); rules != nil {
			some = r.field(rules) || some
		}
	}
	if !some {
		return nil
	}
	return r
}

// read takes the literals of expressions, and reports whether there are any of these.
func (r *exprRules) read(rules []*validate.Rule, expressions []string) bool {
	for _, rule := range rules {
		expressions = append(slices.Clone(expressions), rule.GetExpression())
	}
	for _, text := range expressions {
		r.timed = r.timed || strings.Contains(text, "now")
		for _, found := range literals.FindAllStringSubmatch(text, maxLiterals) {
			if number := found[3]; number != "" {
				r.numbers = added(r.numbers, number)
			} else {
				r.texts = added(r.texts, unescaped(found[1]+found[2]))
			}
		}
	}
	return len(expressions) > 0
}

// added is a list with one more text, where it has room and has it not yet.
func added(list []string, text string) []string {
	if len(list) >= maxLiterals || len(text) > maxMatch || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// unescaped is a text of CEL as it is meant; a raw one, as patterns often are, is what it was.
func unescaped(text string) string {
	if meant, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return meant
	}
	return text
}

// field reads the rules of a field or an element.
func (r *exprRules) field(rules *validate.FieldRules) bool {
	some := r.read(rules.GetCel(), rules.GetCelExpression())
	for _, below := range []*validate.FieldRules{rules.GetRepeated().GetItems(), rules.GetMap().GetKeys(), rules.GetMap().GetValues()} {
		if below != nil {
			some = r.field(below) || some
		}
	}
	m := rules.ProtoReflect()
	if kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("type")); kind != nil && hasExtensions(m.Get(kind).Message()) {
		r.timed, some = true, true // what it asks for stands elsewhere
	}
	return some
}

// hasExtensions reports whether rules have predefined ones among them.
func hasExtensions(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		found = found || f.IsExtension()
		return !found
	})
	return found
}

// broken is how many rules a value of a message breaks, or some number above 0 where that is not known.
// With a field, it is of that field's own rules.
func (j *judge) broken(m protoreflect.MessageDescriptor, v *object, field protoreflect.FieldDescriptor) int {
	const unknown = 1000
	message := dynamicpb.NewMessage(m)
	if j.open() != nil || (protojson.UnmarshalOptions{DiscardUnknown: true, AllowPartial: true}).Unmarshal(appendJSON(nil, v, 0), message) != nil {
		return unknown
	}
	times := []time.Time{earlyTime}
	if j.of(m) != nil && j.of(m).timed {
		times = append(times, lateTime)
	}
	n := 0
	for _, at := range times {
		err := j.validate(message, at, field)
		violations := new(protovalidate.ValidationError)
		switch {
		case errors.As(err, &violations):
			n += countExpressions(violations)
		case err != nil:
			n += unknown
		}
	}
	return n
}

func (j *judge) validate(m proto.Message, at time.Time, field protoreflect.FieldDescriptor) error {
	options := []protovalidate.ValidationOption{protovalidate.WithNowFunc(func() *timestamppb.Timestamp { return timestamppb.New(at) })}
	if field != nil {
		options = append(options, protovalidate.WithFilter(protovalidate.FilterFunc(
			func(_ protoreflect.Message, d protoreflect.Descriptor) bool { return d == field })))
	}
	return j.validator.Validate(m, options...)
}

// countExpressions counts the violations that schemas do not find.
func countExpressions(err *protovalidate.ValidationError) (n int) {
	for _, v := range err.Violations {
		path := v.Proto.GetRule().GetElements()
		name := ""
		if len(path) > 0 {
			name = path[len(path)-1].GetFieldName()
		}
		if name == "" || name == "cel" || name == "cel_expression" || name[0] == '[' {
			n++
		}
	}
	return n
}

// open makes the validator.
func (j *judge) open() (err error) {
	if j.validator == nil {
		var options []protovalidate.ValidatorOption
		if j.api.Extensions != nil {
			options = append(options, protovalidate.WithExtensionTypeResolver(j.api.Extensions))
		}
		j.validator, err = protovalidate.New(options...)
	}
	return err
}
