package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/status"
)

// Explain says which route a request takes, what its variables bind and which
// policies it meets, in the form of a short report. False where no route takes
// it; then the report says why.
func (g *Gateway) Explain(r *http.Request) (report string, found bool) {
	s := g.acquire()
	if s == nil {
		return "no configuration has been loaded yet\n", false
	}
	defer s.release()
	var m match
	var b strings.Builder
	route, err := s.find(r, &m)
	if route != nil {
		route.explain(&b, &m)
		return b.String(), true
	}
	allowed := s.allowed(r.URL.EscapedPath())
	switch {
	case err == nil && allowed != nil && r.Method == http.MethodOptions:
		fmt.Fprintf(&b, "no route, and an answer: %d with Allow: %s\n", http.StatusNoContent, strings.Join(allowed, ", "))
		return b.String(), true
	case err == nil && allowed != nil:
		err = s.wrongMethod(r.Method, allowed, m.protocol)
	}
	if err != nil {
		fmt.Fprintln(&b, status.Convert(err).Message())
	}
	return b.String(), false
}

func (r *Route) explain(b *strings.Builder, m *match) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("route", "%s", r.Binding)
	row("rule", "%s", r.where())
	row("rpc", "%s (%s)", r.method.RPC, r.method.Stream())
	row("upstream", "%s", dash(r.method.upstream))
	for i, v := range r.Binding.Template.Variables {
		if i < len(m.path.Values) {
			row("variable", "%s = %q", v.FieldPath, m.path.Values[i])
		}
	}
	if t := r.method.timeout; t > 0 {
		row("timeout", "%s", t)
	}
	explained := r.method.set.Explain()
	if len(explained) == 0 {
		row("policies", "none")
	}
	for i, e := range explained {
		name := "policies"
		if i > 0 {
			name = ""
		}
		row(name, "%d. %s: %s (%s)", i+1, e.Name, e.Summary, dash(e.Where))
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
