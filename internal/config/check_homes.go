package config

import transomv1 "github.com/transom-gateway/transom/proto/transom/v1"

// Homes are the names of the gRPC upstreams where services live. The others have no
// `services`, and get the calls alone that a policy of the configuration sends there.
func Homes(config *transomv1.Config) map[string]bool {
	named := map[string]bool{}
	note := func(p *transomv1.Policy) {
		for _, b := range p.GetSplit().GetBranches() {
			named[b.GetUpstream()] = true
		}
		named[p.GetMirror().GetUpstream()] = true
		named[p.GetCircuitBreaker().GetFallback()] = true
	}
	note(config.GetDefaults())
	for _, rule := range config.GetPolicies() {
		note(rule.GetPolicy())
	}
	homes, all := map[string]bool{}, map[string]bool{}
	for name, u := range config.GetUpstreams() {
		if u.GetGrpc() == nil {
			continue
		}
		all[name] = true
		if len(u.GetServices()) > 0 || !named[name] {
			homes[name] = true
		}
	}
	if len(homes) == 0 {
		return all // one of them must be
	}
	return homes
}
