package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// httpRules are the configuration's http_rules. One replaces the annotation of
// its method (SEMANTICS 9).
type httpRules struct {
	list []httpRule
}

type httpRule struct {
	rule     *annotations.HttpRule
	selector httprule.Selector
	used     bool
}

func (b *builder) newHTTPRules() httpRules {
	var rules httpRules
	for i, rule := range b.file.Config.GetHttpRules() {
		selector, err := httprule.ParseSelector(rule.GetSelector())
		if err != nil {
			b.refuse(fmt.Sprintf("http_rules[%d].selector: %v", i, err), "http_rules", i, "selector")
			continue
		}
		rules.list = append(rules.list, httpRule{rule: rule, selector: selector})
	}
	return rules
}

// of returns the rule of a method, nil if the configuration has none, and its
// index.
func (h *httpRules) of(name protoreflect.FullName) (*annotations.HttpRule, int) {
	best := -1
	for i := range h.list {
		if h.list[i].selector.Match(string(name)) {
			h.list[i].used = true
			if best < 0 || h.list[i].selector.Specificity() >= h.list[best].selector.Specificity() {
				best = i
			}
		}
	}
	if best < 0 {
		return nil, -1
	}
	return h.list[best].rule, best
}

// unused refuses rules that name no method that is served.
func (h *httpRules) unused(b *builder) {
	for i := range h.list {
		if !h.list[i].used {
			b.refuse(fmt.Sprintf("http_rules[%d]: there is no method %s", i, h.list[i].rule.GetSelector()), "http_rules", i, "selector")
		}
	}
}

// addRoutes adds the routes of a method: its rules and its own path.
func (b *builder) addRoutes(r *schema.Registry, plans *jsonwire.Plans, m *Method) {
	own, err := m.BindPath(plans)
	if err != nil {
		b.problemAt(r, m.Descriptor, err.Error())
		return
	}
	b.snapshot.paths[m.Path] = b.newRoute(r, m, own, "")
	rule, index := b.rules.of(m.Descriptor.FullName())
	if rule == nil {
		rule = schema.HTTPRule(m.Descriptor)
	}
	if rule.GetPattern() == nil {
		b.snapshot.routes = append(b.snapshot.routes, b.snapshot.paths[m.Path])
		return
	}
	bindings, err := m.Bind(rule, plans)
	if err != nil {
		b.badRule(r, m, index, fmt.Sprintf("%s: %v", m.Descriptor.FullName(), err))
		return
	}
	for _, binding := range bindings {
		b.addRoute(r, m, binding, index)
	}
}

// badRule notes a problem of a rule, where the rule stands.
func (b *builder) badRule(r *schema.Registry, m *Method, index int, message string) {
	if index >= 0 {
		b.refuse(message, "http_rules", index)
		return
	}
	b.problemAt(r, m.Descriptor, message, schema.HTTPOption)
}

func (b *builder) addRoute(r *schema.Registry, m *Method, binding *transcoder.Binding, index int) {
	where := ""
	if index >= 0 {
		where = b.configPosition(fmt.Sprintf("http_rules[%d]", index))
	}
	route := b.newRoute(r, m, binding, where)
	err := b.snapshot.tree.Add(binding.HTTPMethod, binding.Template, route)
	var conflict *httprule.ConflictError[*Route]
	if errors.As(err, &conflict) {
		earlier := conflict.EarlierValue
		b.badRule(r, m, index, fmt.Sprintf("%s %s of %s matches the same paths as %s of %s (%s)",
			binding.HTTPMethod, binding.Template, m.Descriptor.FullName(),
			earlier.template, earlier.method.Descriptor.FullName(), earlier.where()))
		return
	}
	if err != nil {
		b.badRule(r, m, index, err.Error())
		return
	}
	b.snapshot.routes = append(b.snapshot.routes, route)
}

func (b *builder) newRoute(r *schema.Registry, m *Method, binding *transcoder.Binding, where string) *Route {
	return &Route{
		Binding: binding, method: m, template: binding.Template.String(),
		registry: r, inConfig: where,
	}
}
