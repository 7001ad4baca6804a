package transcoder

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Template is the pattern of a path, such as "/v1/{name=shelves/*}".
type Template = httprule.Template

// Binding is one HTTP rule of a method, compiled: which path it answers and how
// path, query and body become the request.
type Binding struct {
	// Method is the RPC that is called.
	Method *Method
	// HTTPMethod is the verb of the request, "*" for any.
	HTTPMethod string
	// Template is the path.
	Template *Template

	variables []*jsonwire.Field
	claims    []*jsonwire.Field // those of variables that set a member of a oneof
	given     []*jsonwire.Field // those of variables that are required, which the body need not have
	Body      Body
	Frame     Body // of a WebSocket's frame
	query     *query
	form      *query // of a form body; nil where the body is no message
	answer    answer
	forms     *formKinds // of the method, or of the field response_body
	rule      string     // as the operator wrote it, for people
}

// HidesPath reports whether a path of the template holds what no log may repeat.
func (b *Binding) HidesPath() bool { return slices.ContainsFunc(b.variables, (*jsonwire.Field).Hidden) }

// DropsBody reports whether the request's body is nothing to the rule.
func (b *Binding) DropsBody(r *http.Request) bool {
	call := Call{Binding: b, X: exchange.Exchange{R: r}}
	return b.Body.Kind == BodyNone && !call.hasQueryForm()
}

// TakesStream reports whether an HTTP request carries all that the method takes:
// the rule has a body, or the client of the method does not stream.
func (b *Binding) TakesStream() bool {
	return b.Body.Kind != BodyNone || !b.Method.Shape.ClientStreams
}

// AnswersRaw reports whether the reply is a google.api.HttpBody, written as bytes.
func (b *Binding) AnswersRaw() bool { return b.answer.raw }

// String is the rule in one line: method, path, body and response_body.
func (b *Binding) String() string { return b.rule }

// Body says what becomes of a request's body.
type Body struct {
	// Kind is how the body maps to the message.
	Kind BodyKind
	// Field is the field it maps to, for BodyField.
	Field *jsonwire.Field
	// Raw: the body is a google.api.HttpBody and taken as bytes.
	Raw bool
	// mask is the request's FieldMask that a PATCH fills from the body's keys
	// (Semantics 23); nil for none.
	mask *jsonwire.Field
	// plan is that of the message the body maps to; nil where it is no message.
	plan *jsonwire.Plan
}

// BodyKind is how a body maps to the request message.
type BodyKind uint8

// The kinds: no body, the whole message, one field of it.
const (
	BodyNone BodyKind = iota
	bodyAll
	BodyField
)

// answer says how the reply becomes the answer's body.
type answer struct {
	// field is the rule's response_body; nil for the whole message.
	field *jsonwire.Field
	// raw: the answer is a google.api.HttpBody and written as bytes.
	raw bool
	// binary: clients that want wire format get it. Without it the answer is no
	// message, or a group, which has no bytes of its own.
	binary bool
}

const httpBodyName protoreflect.FullName = "google.api.HttpBody"

// Bind compiles a rule and its additional bindings: the first of the list is the
// rule's own, and where one is wrong stands nil. The problems are all there are.
func (m *Method) Bind(rule *annotations.HttpRule, plans *jsonwire.Plans) ([]*Binding, []RuleProblem) {
	first, problems := m.bindOne(rule, plans)
	bindings := []*Binding{first}
	for i, additional := range rule.GetAdditionalBindings() {
		b, more := m.bindOne(additional, plans)
		if len(additional.GetAdditionalBindings()) > 0 {
			more = append(more, RuleProblem{
				Path:    []int32{ruleBindings},
				Message: "it has additional_bindings of its own; they may stand one level deep",
			})
		}
		for _, p := range more {
			problems = append(problems, p.within(i))
		}
		bindings = append(bindings, b)
	}
	return bindings, problems
}

// BindPath is the method's own path, with the whole message as its body.
func (m *Method) BindPath(plans *jsonwire.Plans) (*Binding, error) {
	b, problems := m.bindOne(&annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: m.Path}, Body: "*"}, plans)
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return b, nil
}

// bindOne compiles a rule without its additional bindings; nil beside problems.
func (m *Method) bindOne(rule *annotations.HttpRule, plans *jsonwire.Plans) (*Binding, []RuleProblem) {
	var problems ruleProblems
	httpMethod, path, err := pattern(rule)
	problems.note(err, patternPath(rule)...)
	b := &Binding{Method: m, HTTPMethod: httpMethod, forms: m.forms}
	if err == nil {
		b.Template, err = httprule.Parse(path)
		problems.note(err, patternPath(rule)...)
	}
	if err == nil {
		for _, v := range b.Template.Variables {
			field, err := m.variable(v.FieldPath)
			problems.note(err, patternPath(rule)...)
			b.variables = append(b.variables, field)
		}
		if len(problems) == 0 {
			problems.note(b.claimVariables(), patternPath(rule)...)
		}
	}
	problems.note(b.bindBody(rule.GetBody(), plans), ruleBody)
	b.bindFrame()
	problems.note(b.bindAnswer(rule.GetResponseBody()), ruleResponseBody)
	if len(problems) > 0 {
		return nil, problems
	}
	b.query = newQuery(b)
	b.form = newForm(b)
	b.rule = httpMethod + " " + path
	if rule.GetBody() != "" {
		b.rule += fmt.Sprintf(" body=%q", rule.GetBody())
	}
	if rule.GetResponseBody() != "" {
		b.rule += fmt.Sprintf(" response_body=%q", rule.GetResponseBody())
	}
	return b, nil
}

// pattern returns the HTTP method and the path of a rule.
func pattern(rule *annotations.HttpRule) (httpMethod, path string, err error) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get, nil
	case *annotations.HttpRule_Put:
		return "PUT", p.Put, nil
	case *annotations.HttpRule_Post:
		return "POST", p.Post, nil
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete, nil
	case *annotations.HttpRule_Patch:
		return "PATCH", p.Patch, nil
	case *annotations.HttpRule_Custom:
		kind := p.Custom.GetKind()
		if kind != "*" && !isToken(kind) {
			return "", "", fmt.Errorf("custom.kind %q is no HTTP method; expected a token such as HEAD, or * for any", kind)
		}
		return kind, p.Custom.GetPath(), nil
	}
	return "", "", fmt.Errorf("the rule has no pattern; expected one of get, put, post, delete, patch, custom")
}

// isToken reports whether s is a token of RFC 9110, 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// variable finds the field of a path variable and checks that text can fill it
// (Semantics 18).
func (m *Method) variable(path string) (*jsonwire.Field, error) {
	field, err := m.Input.Field(path)
	if err != nil {
		return nil, fmt.Errorf("path variable {%s}: %w", path, err)
	}
	d := field.Descriptor()
	switch {
	case d.IsMap():
		return nil, fmt.Errorf("path variable {%s} is a map; expected a field that text can fill", path)
	case d.IsList() && !m.Settings.RepeatedPathValues:
		return nil, fmt.Errorf("path variable {%s} is a repeated field; expected a single one", path)
	case d.Message() != nil && !textual(d.Message().FullName()):
		return nil, fmt.Errorf("path variable {%s} is a message (%s); expected a scalar, an enum, a wrapper or a Timestamp", path, d.Message().FullName())
	}
	return field, nil
}

// claimVariables checks that no variable takes what another one sets: the same
// field by another name, one above or below it, another member of its oneof.
func (b *Binding) claimVariables() error {
	var filled jsonwire.Filled
	for i, field := range b.variables {
		name := b.Template.Variables[i].FieldPath
		for j, other := range b.variables[:i] {
			if field.Overlaps(other) {
				return fmt.Errorf("path variables {%s} and {%s} set the same field; expected each field once", b.Template.Variables[j].FieldPath, name)
			}
		}
		if reason := filled.Claim(field); reason != "" {
			return fmt.Errorf("path variable {%s} %s; a message has only one of them, so that the other would be lost", name, reason)
		}
		if field.Descriptor().Cardinality() == protoreflect.Required {
			b.given = append(b.given, field)
		}
		if field.InOneof() {
			b.claims = append(b.claims, field)
		}
	}
	return nil
}

// bindFrame says what a frame of a WebSocket is. One of a client that streams is
// the whole message where the rule has no body (Semantics 313).
func (b *Binding) bindFrame() {
	b.Frame = b.Body
	if input := b.Method.Input; b.Body.Kind == BodyNone && b.Method.Shape.ClientStreams {
		b.Frame = Body{Kind: bodyAll, Raw: input.Descriptor().FullName() == httpBodyName, plan: input}
	}
}

// textual reports whether a message is written as plain text in JSON.
func textual(name protoreflect.FullName) bool {
	switch name {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask",
		"google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return true
	}
	return false
}

func (b *Binding) bindBody(name string, plans *jsonwire.Plans) error {
	input := b.Method.Descriptor.Input()
	switch name {
	case "":
		return nil
	case "*":
		b.Body = Body{Kind: bodyAll, Raw: input.FullName() == httpBodyName, plan: b.Method.Input}
		return nil
	}
	field, err := b.Method.Input.Field(name)
	if err != nil {
		return fmt.Errorf("body %q: %w", name, err)
	}
	if strings.Contains(name, ".") {
		return fmt.Errorf("body %q: expected a field of %s itself, not one below it", name, input.FullName())
	}
	d := field.Descriptor()
	b.Body = Body{Kind: BodyField, Field: field}
	if message := d.Message(); message != nil && !d.IsList() && !d.IsMap() {
		b.Body.Raw = message.FullName() == httpBodyName
		b.Body.plan = plans.Message(message)
		if b.HTTPMethod == "PATCH" && !b.Body.Raw {
			b.Body.mask = onlyMask(b.Method)
		}
	}
	return nil
}

// onlyMask returns the request's FieldMask if it has exactly one.
func onlyMask(m *Method) *jsonwire.Field {
	var found protoreflect.FieldDescriptor
	fields := m.Descriptor.Input().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() || f.Message().FullName() != "google.protobuf.FieldMask" {
			continue
		}
		if found != nil {
			return nil
		}
		found = f
	}
	if found == nil {
		return nil
	}
	field, err := m.Input.Field(string(found.Name()))
	if err != nil {
		return nil
	}
	return field
}

func (b *Binding) bindAnswer(name string) error {
	if name == "" {
		b.answer.raw = b.Method.Descriptor.Output().FullName() == httpBodyName
		b.answer.binary = true
		return nil
	}
	field, err := b.Method.Output.Answer(name)
	if err != nil {
		return fmt.Errorf("response_body %q: %w", name, err)
	}
	if strings.Contains(name, ".") {
		return fmt.Errorf("response_body %q: expected a field of %s itself, not one below it", name, b.Method.Descriptor.Output().FullName())
	}
	d := field.Descriptor()
	b.answer.field, b.forms = field, new(formKinds)
	message := d.Kind() == protoreflect.MessageKind && !d.IsList() && !d.IsMap()
	b.answer.raw = message && d.Message().FullName() == httpBodyName
	b.answer.binary = message
	return nil
}
