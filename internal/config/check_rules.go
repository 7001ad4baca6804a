package config

import (
	"errors"

	"google.golang.org/genproto/googleapis/api/annotations"

	"github.com/transom-gateway/transom/internal/httprule"
)

// httpRules holds that each rule has a selector of its own and templates. Which
// methods are there is known only with the schema.
func (c *checker) httpRules(rules []*annotations.HttpRule) {
	seen := map[string]string{}
	for i, rule := range rules {
		path := join("http_rules", i)
		c.httpSelector(join(path, "selector"), rule.Selector, seen)
		c.httpRule(path, rule)
		for j, more := range rule.AdditionalBindings {
			path := join(join(path, "additional_bindings"), j)
			c.httpRule(path, more)
			if len(more.AdditionalBindings) > 0 {
				c.fail(join(path, "additional_bindings"), "found bindings within a binding, expected all in one list")
			}
			if more.Selector != "" {
				c.fail(join(path, "selector"), "found %q within a binding, expected it at the rule only", more.Selector)
			}
		}
	}
}

func (c *checker) httpSelector(path, selector string, seen map[string]string) {
	if !c.selector(path, selector) {
		return
	}
	if other, ok := seen[selector]; ok {
		c.fail(path, "found %q, which has a rule at %s already; expected its further paths in additional_bindings there", selector, other)
		return
	}
	seen[selector] = parent(path)
}

func (c *checker) httpRule(path string, rule *annotations.HttpRule) {
	switch p := rule.Pattern.(type) {
	case *annotations.HttpRule_Get:
		c.template(join(path, "get"), p.Get)
	case *annotations.HttpRule_Put:
		c.template(join(path, "put"), p.Put)
	case *annotations.HttpRule_Post:
		c.template(join(path, "post"), p.Post)
	case *annotations.HttpRule_Delete:
		c.template(join(path, "delete"), p.Delete)
	case *annotations.HttpRule_Patch:
		c.template(join(path, "patch"), p.Patch)
	case *annotations.HttpRule_Custom:
		if p.Custom.Kind == "" {
			c.fail(join(path, "custom.kind"), `found none, expected an HTTP method or "*"`)
		}
		c.template(join(path, "custom.path"), p.Custom.Path)
	default:
		c.fail(path, "found no path, expected one of get, put, post, delete, patch, custom")
	}
}

func (c *checker) template(path, text string) {
	_, err := httprule.Parse(text)
	var syntax *httprule.SyntaxError
	if errors.As(err, &syntax) {
		c.fail(path, "%v", syntax)
	}
}
