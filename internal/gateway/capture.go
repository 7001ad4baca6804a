package gateway

import (
	"fmt"
	"slices"

	"github.com/transom-gateway/transom/internal/httprule"
)

// Captures reports whether messages of any method can be watched.
func (g *Gateway) Captures() bool {
	s := g.acquire()
	if s == nil {
		return false
	}
	defer s.release()
	return len(s.Config.Config.GetAdmin().GetCapture()) > 0
}

// checkCapture refuses rules of admin.capture that fit no method.
func (b *builder) checkCapture() {
	for i, rule := range b.file.Config.GetAdmin().GetCapture() {
		selector, err := httprule.ParseSelector(rule.GetSelector())
		if err != nil || rule.GetSelector() == "*" || b.selects(selector) {
			continue // the check of the file has said what is wrong
		}
		b.refuse(fmt.Sprintf("admin.capture[%d]: no method is %s%s", i, rule.GetSelector(), b.meant(rule.GetSelector())), "admin", "capture", i, "selector")
	}
}

// selects reports whether a selector fits a method that is served.
func (b *builder) selects(s httprule.Selector) bool {
	return slices.ContainsFunc(b.snapshot.routes, func(r *Route) bool {
		m, ok := r.endpoint.method()
		return ok && s.Match(string(m.FullName()))
	})
}
