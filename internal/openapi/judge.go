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
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/schema"
)

// judge says which values break rules that no schema has: those in CEL, predefined ones, and the oneofs
// of messages' options. It is that of one document.
type judge struct {
	*compiledRules
	// seen are the messages whose rules have been compiled for the document, or would have been, by
	// whether they have been, and spent is what that took.
	seen  map[protoreflect.MessageDescriptor]bool
	spent int
}

// exprRules are the rules of one message, and of its fields, that no schema has.
type exprRules struct {
	// texts and numbers are the literals of expressions: what a rule asks for is often one of them.
	texts, numbers []string
	// words are those of the message's own expressions: its fields are among them.
	words map[protoreflect.Name]bool
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

// word may be the name of a field.
var word = regexp.MustCompile(`[A-Za-z_][A-Za-z_0-9]*`)

// below reports whether a message, or one that its fields lead to, has such rules.
func (j *judge) below(m protoreflect.MessageDescriptor) bool {
	for one := range schema.Reachable(m) {
		if j.of(one) != nil {
			return true
		}
	}
	return false
}

func readRules(m protoreflect.MessageDescriptor) *exprRules {
	r := &exprRules{words: map[protoreflect.Name]bool{}}
	message, _ := schema.Option(m, validate.E_Message).(*validate.MessageRules)
	some := r.read(message.GetCel(), message.GetCelExpression()) || len(message.GetOneof()) > 0
	r.readWords(message)
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

// readWords takes what the message's own rules may speak of.
func (r *exprRules) readWords(message *validate.MessageRules) {
	add := func(text string) {
		for _, found := range word.FindAllString(text, -1) {
			r.words[protoreflect.Name(found)] = true
		}
	}
	for _, rule := range message.GetCel() {
		add(rule.GetExpression())
	}
	for _, text := range message.GetCelExpression() {
		add(text)
	}
	for _, rule := range message.GetOneof() {
		add(strings.Join(rule.GetFields(), " "))
	}
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

// verdict is which rules a value of a message breaks.
type verdict struct {
	// broken is how many, or some number above 0 where that is not known.
	broken int
	// blamed are the fields of the message that may have to change.
	blamed map[protoreflect.Name]bool
}

// broken is how many rules a value of a message breaks, or some number above 0 where that is not known.
// With a field, it is of that field's own rules.
func (j *judge) broken(m protoreflect.MessageDescriptor, v *object, field protoreflect.FieldDescriptor) int {
	return j.judge(m, v, field).broken
}

func (j *judge) judge(m protoreflect.MessageDescriptor, v *object, field protoreflect.FieldDescriptor) verdict {
	const unknown = 1000
	message, validator := dynamicpb.NewMessage(m), j.validatorOf(m)
	if validator == nil || (protojson.UnmarshalOptions{DiscardUnknown: true, AllowPartial: true}).Unmarshal(appendJSON(nil, v, 0), message) != nil {
		return verdict{broken: unknown}
	}
	times := []time.Time{earlyTime}
	if j.of(m) != nil && j.of(m).timed {
		times = append(times, lateTime)
	}
	found := verdict{blamed: map[protoreflect.Name]bool{}}
	for _, at := range times {
		err := check(validator, message, at, field)
		violations := new(protovalidate.ValidationError)
		switch {
		case errors.As(err, &violations):
			found.add(violations, j.of(m))
		case err != nil:
			found.broken += unknown
		}
	}
	return found
}

// add counts the violations that schemas do not find.
func (v *verdict) add(err *protovalidate.ValidationError, rules *exprRules) {
	for _, one := range err.Violations {
		if !expressed(one) {
			continue
		}
		v.broken++
		if path := one.Proto.GetField().GetElements(); len(path) > 0 {
			v.blamed[protoreflect.Name(path[0].GetFieldName())] = true
		} else if rules != nil {
			for name := range rules.words {
				v.blamed[name] = true
			}
		}
	}
}

// expressed reports whether a violation is of a rule that no schema has.
func expressed(v *protovalidate.Violation) bool {
	path := v.Proto.GetRule().GetElements()
	if len(path) == 0 {
		return true
	}
	name := path[len(path)-1].GetFieldName()
	return name == "" || name == "cel" || name == "cel_expression" || name[0] == '['
}
