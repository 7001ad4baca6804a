package upstream

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Servers writes a fixed list as Target.Servers has it. Weights may be nil: all are equal.
func Servers(addresses []string, weights []uint32) string {
	var b strings.Builder
	for i, address := range addresses {
		weight := uint32(1)
		if weights != nil {
			weight = weights[i]
		}
		b.WriteString(address + " " + strconv.FormatUint(uint64(weight), 10) + "\n")
	}
	return b.String()
}

// listed makes resolvers of a fixed list of servers. A name among them is one endpoint,
// and resolved for each connection.
type listed struct{ servers string }

var (
	_ resolver.Builder            = listed{}
	_ resolver.AuthorityOverrider = listed{}
)

// Scheme implements resolver.Builder. No address can have it.
func (listed) Scheme() string { return "" }

// OverrideAuthority implements resolver.AuthorityOverrider: each server has its own.
func (listed) OverrideAuthority(resolver.Target) string { return "" }

// Build implements resolver.Builder.
func (l listed) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for line := range strings.Lines(l.servers) {
		address, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		weight, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("server %q: the weight %q is no number", address, text)
		}
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		state.Endpoints = append(state.Endpoints, WithShare(endpoint, Share{Weight: uint32(weight)}))
	}
	return fixed{}, conn.UpdateState(state)
}

// names are the addresses of the list.
func (l listed) names() (all []string) {
	for line := range strings.Lines(l.servers) {
		address, _, _ := strings.Cut(line, " ")
		all = append(all, address)
	}
	return all
}
