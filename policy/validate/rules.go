package validate

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
)

// Kind is the policy validate.
func Kind() policy.Kind {
	// Rules hold unless something wider switches them off.
	return policy.Kind{Field: "validate", Compile: compileValidate, Needs: []policy.Need{{Field: "validate", Config: "defaults.validate"}}}
}

// compileValidate compiles the rules of the method's request. Nothing is left to do
// where neither the request nor anything below it has rules.
func compileValidate(s *policy.Scope) policy.Part {
	if s.Method == nil || s.Policy.GetValidate().GetDisabled() || s.Suppresses("validate") {
		return nil
	}
	input := s.Method.Input()
	book, err := ruleBookOf(s.Generation, s.SchemaExtensions())
	if err != nil {
		s.Refuse("validate", "%v", err)
		return nil
	}
	reach := book.reachOf(input)
	if !reach.rules {
		return nil
	}
	if reach.broken {
		for m := range schema.Reachable(input) {
			s.Note(book.look(m).broken...)
		}
	}
	// A request that has no rules of its own, but leads to some, is not compiled
	// yet. Whether an empty one is valid does not matter.
	_ = book.validator.Validate(dynamicpb.NewMessage(input))
	return &validation{rpc: s.RPC, input: input, validator: book.validator, log: s.Log}
}

// ruleBook is what one generation knows of the rules of one schema: its methods
// share what is compiled.
type ruleBook struct {
	validator  protovalidate.Validator
	extensions ruleExtensions
	messages   map[protoreflect.MessageDescriptor]messageRules
	reached    map[protoreflect.MessageDescriptor]reach
}

// messageRules is what is known of the rules of one message.
type messageRules struct {
	any    bool
	broken policy.Problems
}

// look finds a message's rules, and checks them when it sees them first.
func (k *ruleBook) look(m protoreflect.MessageDescriptor) messageRules {
	rules, known := k.messages[m]
	if !known {
		if rules.any = hasRules(m); rules.any {
			rules.broken = k.brokenRules(m)
		}
		k.messages[m] = rules
	}
	return rules
}

// reach is what a message and all that its fields lead to have among them.
type reach struct {
	rules  bool // any
	broken bool // rules that do not compile
}

// reachOf walks over each message once, however many methods lead to it: first down to all that have not been seen, then
// up again with what was found.
func (k *ruleBook) reachOf(root protoreflect.MessageDescriptor) reach {
	unseen := k.begin(nil, root)
	above := map[protoreflect.MessageDescriptor][]protoreflect.MessageDescriptor{}
	var found []protoreflect.MessageDescriptor // what they reach is news to those above
	for i := 0; i < len(unseen); i++ {
		for below := range schema.FieldMessages(unseen[i]) {
			unseen = k.begin(unseen, below)
			above[below] = append(above[below], unseen[i])
			found = append(found, below)
		}
	}
	for len(found) > 0 {
		below := found[len(found)-1]
		found = found[:len(found)-1]
		for _, m := range above[below] {
			both := reach{k.reached[m].rules || k.reached[below].rules, k.reached[m].broken || k.reached[below].broken}
			if both != k.reached[m] {
				k.reached[m] = both
				found = append(found, m)
			}
		}
	}
	return k.reached[root]
}

// begin adds a message to those that have not been seen, with what it has itself, if it is one.
func (k *ruleBook) begin(unseen []protoreflect.MessageDescriptor, m protoreflect.MessageDescriptor) []protoreflect.MessageDescriptor {
	if _, seen := k.reached[m]; seen {
		return unseen
	}
	rules := k.look(m)
	k.reached[m] = reach{rules.any, len(rules.broken) > 0}
	return append(unseen, m)
}

// ruleBooks are those of one generation, by the extensions of their schemas.
type ruleBooks map[policy.Extensions]*ruleBook

// ruleBookOf finds or makes the book of a schema.
func ruleBookOf(g *policy.Generation, extensions policy.Extensions) (*ruleBook, error) {
	books := *policy.Shared(g, func(*policy.Generation) *ruleBooks { return &ruleBooks{} })
	keyed := extensions == nil || reflect.TypeOf(extensions).Comparable()
	if keyed && books[extensions] != nil {
		return books[extensions], nil
	}
	book := &ruleBook{extensions: ruleExtensions{extensions}, messages: map[protoreflect.MessageDescriptor]messageRules{}, reached: map[protoreflect.MessageDescriptor]reach{}}
	var err error
	book.validator, err = protovalidate.New(protovalidate.WithExtensionTypeResolver(book.extensions))
	if err == nil && keyed {
		books[extensions] = book
	}
	return book, err
}

// ruleExtensions finds predefined rules: the schema's own, then those that the
// binary knows.
type ruleExtensions struct{ schema policy.Extensions }

var _ protoregistry.ExtensionTypeResolver = ruleExtensions{}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (e ruleExtensions) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if e.schema != nil {
		if d, err := e.schema.FindExtensionByName(name); err == nil {
			return extensionType(d), nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (e ruleExtensions) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if e.schema != nil {
		if d, err := e.schema.FindExtensionByNumber(message, field); err == nil {
			return extensionType(d), nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByNumber(message, field)
}

func extensionType(d protoreflect.ExtensionDescriptor) protoreflect.ExtensionType {
	if typed, ok := d.(protoreflect.ExtensionTypeDescriptor); ok {
		return typed.Type()
	}
	return dynamicpb.NewExtensionType(d)
}

// hasRules reports whether a message, its fields or its oneofs have rules.
func hasRules(m protoreflect.MessageDescriptor) bool {
	if schema.Option(m, validate.E_Message) != nil {
		return true
	}
	for i := range m.Oneofs().Len() {
		if schema.Option(m.Oneofs().Get(i), validate.E_Oneof) != nil {
			return true
		}
	}
	for i := range m.Fields().Len() {
		if schema.Option(m.Fields().Get(i), validate.E_Field) != nil {
			return true
		}
	}
	return false
}

// brokenRules lists the rules of a message that do not compile. protovalidate
// keeps such an error until a message is checked, so each part is checked once,
// for itself, on an empty message.
func (k *ruleBook) brokenRules(m protoreflect.MessageDescriptor) policy.Problems {
	var problems policy.Problems
	empty := dynamicpb.NewMessage(m)
	check := func(part protoreflect.Descriptor) bool {
		only := protovalidate.WithFilter(protovalidate.FilterFunc(
			func(_ protoreflect.Message, d protoreflect.Descriptor) bool { return d == part }))
		var broken *protovalidate.CompilationError
		if !errors.As(k.validator.Validate(empty, only), &broken) {
			return true
		}
		problems = append(problems, k.extensions.problem(part,
			fmt.Sprintf("the validation rules of %s are wrong: %s", part.FullName(), ruleProblem(broken))))
		return false
	}
	if !check(m) {
		return problems
	}
	for i := range m.Fields().Len() {
		if field := m.Fields().Get(i); schema.Option(field, validate.E_Field) != nil {
			check(field)
		}
	}
	return problems
}

// ruleProblem is the first line of what protovalidate says: the others draw the
// expression.
func ruleProblem(err error) string {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "compilation error: "), "\n")
	return text
}

// sources is what Extensions may know besides: where an option of a descriptor
// was written. *schema.Registry does.
type sources interface {
	Position(d protoreflect.Descriptor, option ...int32) (file string, line, column int)
}

// ruleOption is the number of the (buf.validate.*) options.
var ruleOption = int32(validate.E_Field.TypeDescriptor().Number())

// problem is a problem at the rules of a descriptor, with its place as far as
// the schema knows it.
func (e ruleExtensions) problem(d protoreflect.Descriptor, message string) policy.Problem {
	p := policy.Problem{Message: message}
	if known, ok := e.schema.(sources); ok {
		p.File, p.Line, p.Column = known.Position(d, ruleOption)
	} else if file := d.ParentFile(); file != nil {
		p.File = file.Path()
	}
	return p
}
