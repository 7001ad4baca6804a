package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/transcoder"
)

// httpRules are the configuration's http_rules. One replaces the annotation of
// its method (Semantics 9).
type httpRules struct {
	list      []*annotations.HttpRule
	selectors httprule.Selectors
	used      []bool
}

// selectors reads those of a list of the configuration.
func selectors[R interface{ GetSelector() string }](b *builder, list string, rules []R) httprule.Selectors {
	all := make(httprule.Selectors, len(rules))
	for i, rule := range rules {
		var err error
		if all[i], err = httprule.ParseSelector(rule.GetSelector()); err != nil {
			b.refuse(fmt.Sprintf("%s[%d].selector: %v", list, i, err), list, i, "selector")
		}
	}
	return all
}

// of returns the rule of a method, nil if the configuration has none, and its
// index.
func (h *httpRules) of(name protoreflect.FullName) (*annotations.HttpRule, int) {
	best := -1
	for _, i := range h.selectors.Matching(string(name)) {
		h.used[i], best = true, i
	}
	if best < 0 {
		return nil, -1
	}
	return h.list[best], best
}

// unused refuses rules that name no method that is served.
func (h *httpRules) unused(b *builder) {
	for i, used := range h.used {
		if used {
			continue
		}
		text := h.list[i].GetSelector()
		b.refuse(fmt.Sprintf("http_rules[%d]: there is no method %s%s", i, text, b.meant(text)), "http_rules", i, "selector")
	}
}

// meant suggests a method for a selector that names none.
func (b *builder) meant(selector string) string {
	if _, ok := b.services[protoreflect.FullName(selector)]; ok {
		return fmt.Sprintf(", which is a service: did you mean %s.*?", selector)
	}
	names := b.methodNames()
	near := nearest.Of(names, selector)
	if near == "" {
		near = sameLast(names, selector)
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", near)
}

// sameLast is the first name with the last part of another one, whatever stands
// before it; "" for none.
func sameLast(names []string, name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "*" {
		return ""
	}
	for _, n := range names {
		if strings.EqualFold(n[strings.LastIndexByte(n, '.')+1:], last) {
			return n
		}
	}
	return ""
}

// methodNames lists the full names of all methods, sorted.
func (b *builder) methodNames() []string {
	names := make([]string, 0, len(b.snapshot.paths))
	for _, route := range b.snapshot.paths {
		names = append(names, route.endpoint.String())
	}
	slices.Sort(names)
	return names
}

// warnOfNoBody says of a rule that over HTTP it has no room for the stream that
// its method takes (Semantics 313). By WebSocket each frame is a message.
func (b *builder) warnOfNoBody(r *schema.Registry, m *rpcMethod, binding *transcoder.Binding, index int, path ...int32) {
	if binding.TakesStream() || strings.EqualFold(binding.HTTPMethod, "websocket") {
		return
	}
	b.oddRule(r, m, index, fmt.Sprintf("%s: the method takes a stream, and the rule has no body: over HTTP the one message is made of path and query, "+
		"and a body is ignored; set body, or have custom { kind: \"websocket\" } for WebSockets alone", m.Descriptor.FullName()), path...)
}

// warnOfGetBody says of a rule that its requests have a body which many senders cannot send.
// A WebSocket, by which streams come, is opened by a GET.
func (b *builder) warnOfGetBody(r *schema.Registry, m *rpcMethod, binding *transcoder.Binding, index int, path ...int32) {
	if binding.HTTPMethod != http.MethodGet || binding.Body.Kind == transcoder.BodyNone || m.Shape.ClientStreams {
		return
	}
	b.oddRule(r, m, index, fmt.Sprintf("%s: a GET has no body for browsers, caches and many proxies, and google.api.http has none there: "+
		"leave body out, so that the fields come from path and query, or use post", m.Descriptor.FullName()), append(slices.Clip(path), bodyOfRule)...)
}

// oddRule is badRule for what works otherwise than its author may think.
func (b *builder) oddRule(r *schema.Registry, m *rpcMethod, index int, message string, path ...int32) {
	before := len(b.problems)
	b.badRule(r, m, index, message, path...)
	for i := range b.problems[before:] {
		b.problems[before+i].Warning = true
	}
}

// bindingPath leads from a rule to one of its bindings, as transcoder.RuleProblem
// says it.
func bindingPath(i int) []int32 {
	if i == 0 {
		return nil
	}
	return []int32{additionalBindings, int32(i - 1)} //nolint:gosec // a list of a message has fewer than 1<<31
}

// additionalBindings is the field's number in google.api.HttpRule.
const additionalBindings = 11

// bodyOfRule is the number of the field body there.
const bodyOfRule = 7

// badRule notes a problem of a rule, where the rule stands. The path leads to the
// part of it that is wrong.
func (b *builder) badRule(r *schema.Registry, m *rpcMethod, index int, message string, path ...int32) {
	if index >= 0 {
		b.refuse(message, append([]any{"http_rules", index}, rulePath(path)...)...)
		return
	}
	if b.undecided != nil && b.undecided.rules {
		return
	}
	b.problemAt(r, m.Descriptor, message, append([]int32{schema.HTTPOption}, path...)...)
}

// rulePath turns the numbers of fields of google.api.HttpRule into their names.
func rulePath(path []int32) []any {
	var names []any
	message := (&annotations.HttpRule{}).ProtoReflect().Descriptor()
	for i := 0; i < len(path); i++ {
		field := message.Fields().ByNumber(protoreflect.FieldNumber(path[i]))
		if field == nil {
			break
		}
		names = append(names, string(field.Name()))
		if field.IsList() && i+1 < len(path) {
			i++
			names = append(names, int(path[i]))
		}
		if message = field.Message(); message == nil {
			break
		}
	}
	return names
}
