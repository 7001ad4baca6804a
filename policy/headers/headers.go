// Package headers is the field headers, which changes headers both ways and tells browsers
// to be careful, and what of the field limits bounds a request's header.
package headers

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// requestHeaders changes what goes to the backend. It stands behind auth, so
// that it knows the caller.
type requestHeaders struct {
	request transform // names in lower case
	summary string
}

var _ policy.Admitter = (*requestHeaders)(nil)

// responseHeaders changes what goes to the client, too.
type responseHeaders struct {
	requestHeaders
	response transform // names in canonical form
	security []securityHeader
	hsts     []string // for TLS only
}

var _ policy.HeaderChanger = (*responseHeaders)(nil)

// transform is applied in the order remove, set, add.
type transform struct {
	remove   []string
	set, add []headerValue
}

func (t *transform) empty() bool { return len(t.remove)+len(t.set)+len(t.add) == 0 }

// headerValue is a header to write. A value that comes out empty is not
// written; where it was to replace others, they are gone all the same.
type headerValue struct {
	name  string
	value template
}

// Name implements Part.
func (p *requestHeaders) Name() string { return "headers" }

// Summary is one line for explain.
func (p *requestHeaders) Summary() string { return p.summary }

// Admit implements Admitter: it changes the metadata.
func (p *requestHeaders) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	t := &p.request
	if t.empty() {
		return ctx, nil, nil
	}
	for _, name := range t.remove {
		deleteHeader(r, name)
	}
	for i := range t.set {
		value := t.set[i].value.expand(r)
		deleteHeader(r, t.set[i].name)
		if value != "" {
			r.Metadata.Add(t.set[i].name, value)
		}
	}
	for i := range t.add {
		if value := t.add[i].value.expand(r); value != "" {
			r.Metadata.Add(t.add[i].name, value)
		}
	}
	return ctx, nil, nil
}

// deleteHeader takes a header of the client away, however it is spelt: what the
// gateway says must not have a twin (Semantics 305).
func deleteHeader(r *policy.Request, name string) {
	folded := field.Fold(name)
	if r.PlainHTTP {
		r.Dropped = append(r.Dropped, folded)
	}
	r.Metadata.DelFunc(func(n string) bool { return field.Same(n, folded) })
}

// ResponseHeader implements HeaderChanger: first the security headers, which the
// transforms may still change.
func (p *responseHeaders) ResponseHeader(r *policy.Request, h http.Header) {
	for _, s := range p.security {
		if _, there := h[s.name]; s.replace || !there {
			h[s.name] = s.value
		}
	}
	if p.hsts != nil && r.Secure() {
		h[hstsHeader] = p.hsts
	}
	t := &p.response
	for _, name := range t.remove {
		delete(h, name)
	}
	for i := range t.set {
		delete(h, t.set[i].name)
		if value := t.set[i].value.expand(r); value != "" {
			h[t.set[i].name] = []string{value}
		}
	}
	for i := range t.add {
		if value := t.add[i].value.expand(r); value != "" {
			h[t.add[i].name] = append(h[t.add[i].name], value)
		}
	}
}

// Kind is the policy headers.
func Kind() policy.Kind { return policy.Kind{Field: "headers", Compile: compileHeaders} }

// compileHeaders makes the header transforms and the security headers.
func compileHeaders(s *policy.Scope) policy.Part {
	rule := s.Policy.GetHeaders()
	if rule == nil {
		return nil
	}
	p := &responseHeaders{response: newTransform(s, "headers.response", rule.GetResponse(), http.CanonicalHeaderKey)}
	p.request = newTransform(s, "headers.request", rule.GetRequest(), strings.ToLower)
	if rule.GetSecurity() != nil {
		p.security = securityHeaders(s, rule.GetSecurity())
		p.hsts = newHSTS(s, rule.GetSecurity().GetHsts())
	}
	p.summary = p.describe()
	switch {
	case !p.response.empty() || len(p.security) > 0 || p.hsts != nil:
		return p
	case !p.request.empty():
		return &p.requestHeaders
	}
	return nil
}

// transform compiles one direction.
func newTransform(s *policy.Scope, path string, rule *transomv1.HeaderTransform, form func(string) string) transform {
	var t transform
	toBackend := path == "headers.request"
	for i, name := range rule.GetRemove() {
		at := policy.Index(path+".remove", i)
		if problem := s.HeaderProblem(name, toBackend); problem != "" {
			s.Refuse(at, "%s is %q, %s", at, name, problem)
			continue
		}
		t.remove = append(t.remove, form(name))
	}
	t.set = headerValues(s, path+".set", rule.GetSet(), toBackend, form)
	t.add = headerValues(s, path+".add", rule.GetAdd(), toBackend, form)
	return t
}

// headerValues compiles a map of headers, in the order of their names.
func headerValues(s *policy.Scope, path string, rules map[string]string, toBackend bool, form func(string) string) []headerValue {
	var values []headerValue
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		problem := s.HeaderProblem(name, toBackend)
		if problem == "" && strings.HasSuffix(strings.ToLower(name), "-bin") {
			problem = "which holds bytes, not text; expected another name"
		}
		if problem == "" && seen[form(name)] {
			problem = "which is there in another spelling, too; expected it once"
		}
		if problem != "" {
			s.Refuse(path, "%s has %q, %s", path, name, problem)
			continue
		}
		seen[form(name)] = true
		value, err := parseTemplate(rules[name], s.HiddenCookies)
		if err != nil {
			s.Refuse(path, "%s[%q]: %v", path, name, err)
			continue
		}
		values = append(values, headerValue{form(name), value})
	}
	return values
}

// describe is the summary: the names, not the values.
func (p *responseHeaders) describe() string {
	var parts []string
	for _, side := range []struct {
		name string
		t    *transform
	}{{"request", &p.request}, {"response", &p.response}} {
		for _, list := range []struct {
			verb   string
			values []headerValue
		}{{"sets", side.t.set}, {"adds", side.t.add}} {
			for _, v := range list.values {
				parts = append(parts, side.name+" "+list.verb+" "+strings.ToLower(v.name))
			}
		}
		for _, name := range side.t.remove {
			parts = append(parts, side.name+" removes "+strings.ToLower(name))
		}
	}
	for _, s := range p.security {
		parts = append(parts, strings.ToLower(s.name))
	}
	if p.hsts != nil {
		parts = append(parts, strings.ToLower(hstsHeader))
	}
	return strings.Join(parts, ", ")
}
