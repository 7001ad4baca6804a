package transcoder

import (
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
)

// RuleProblem is one thing wrong with a rule of google.api.http.
type RuleProblem struct {
	// Path leads from the rule to what is wrong, by the numbers of fields, and by
	// indexes where they are repeated: (2) is its get, (11, 0, 7) the body of its first
	// additional binding. Empty is the rule itself.
	Path []int32
	// Message is for people, who are told elsewhere whose rule it is.
	Message string
}

// The fields of google.api.HttpRule that are looked at one by one.
const (
	ruleBody         int32 = 7
	ruleBindings     int32 = 11
	ruleResponseBody int32 = 12
)

// within is the problem as seen from the rule that the binding is added to.
func (p RuleProblem) within(binding int) RuleProblem {
	return RuleProblem{
		Path:    append([]int32{ruleBindings, int32(binding)}, p.Path...), //nolint:gosec // a list of a message has fewer than 1<<31
		Message: fmt.Sprintf("additional_bindings[%d]: %s", binding, p.Message),
	}
}

// ruleProblems collects.
type ruleProblems []RuleProblem

// note adds an error, if it is one.
func (r *ruleProblems) note(err error, path ...int32) {
	if err != nil {
		*r = append(*r, RuleProblem{Path: path, Message: err.Error()})
	}
}

// patternPath leads to the rule's pattern; empty for a rule without one.
func patternPath(rule *annotations.HttpRule) []int32 {
	m := rule.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("pattern"))
	if field == nil {
		return nil
	}
	return []int32{int32(field.Number())}
}
