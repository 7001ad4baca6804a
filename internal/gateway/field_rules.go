package gateway

import (
	"fmt"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

const (
	// maxRules bounds the rules that are told of a field, and maxRule the text of each, in bytes.
	maxRules = 20
	maxRule  = 200
)

// ruleTexts says the rules of protovalidate of a field in the words of their proto, as "min_len 1".
func ruleTexts(f protoreflect.FieldDescriptor) []string {
	rules, _ := schema.Option(f, validate.E_Field).(*validate.FieldRules)
	if rules == nil || rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return nil
	}
	var list []string
	if rules.GetRequired() {
		list = append(list, "required")
	}
	list = appendRules(list, "", rules)
	for i := range list {
		if len(list[i]) > maxRule {
			list[i] = strings.ToValidUTF8(list[i][:maxRule], "") + "…"
		}
	}
	return list[:min(len(list), maxRules)]
}

// appendRules adds the rules of a value, each behind the name of what it is a part of.
func appendRules(list []string, of string, rules *validate.FieldRules) []string {
	for _, r := range rules.GetCel() {
		if text := r.GetMessage(); text != "" {
			list = append(list, of+text)
		} else {
			list = append(list, of+r.GetExpression())
		}
	}
	for _, expression := range rules.GetCelExpression() {
		list = append(list, of+expression)
	}
	m := rules.ProtoReflect()
	typed := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	if typed == nil {
		return list
	}
	values := m.Get(typed).Message()
	fields := values.Descriptor().Fields()
	for i := range fields.Len() {
		rule := fields.Get(i)
		if !values.Has(rule) || rule.Name() == "example" {
			continue
		}
		value := values.Get(rule)
		if inner, ok := innerRules(value); ok {
			list = appendRules(list, of+string(rule.Name())+": ", inner)
			continue
		}
		list = append(list, of+ruleText(rule, value))
	}
	return list
}

// innerRules are those of elements, keys or values.
func innerRules(value protoreflect.Value) (*validate.FieldRules, bool) {
	m, ok := value.Interface().(protoreflect.Message)
	if !ok {
		return nil, false
	}
	rules, ok := m.Interface().(*validate.FieldRules)
	return rules, ok
}

// ruleText is one rule with its value.
func ruleText(rule protoreflect.FieldDescriptor, value protoreflect.Value) string {
	name := string(rule.Name())
	switch {
	case rule.Kind() == protoreflect.BoolKind && value.Bool():
		return name // such as email
	case rule.IsList():
		texts := make([]string, 0, value.List().Len())
		for i := range min(value.List().Len(), maxRules) {
			texts = append(texts, valueText(rule, value.List().Get(i)))
		}
		return name + " " + strings.Join(texts, ", ")
	}
	return name + " " + valueText(rule, value)
}

func valueText(rule protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch rule.Kind() {
	case protoreflect.StringKind:
		return value.String()
	case protoreflect.BytesKind:
		return fmt.Sprintf("%q", value.Bytes())
	case protoreflect.EnumKind:
		if v := rule.Enum().Values().ByNumber(value.Enum()); v != nil {
			return string(v.Name())
		}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return fmt.Sprint(value.Message().Interface()) // a time or a duration
	}
	return fmt.Sprint(value.Interface())
}
