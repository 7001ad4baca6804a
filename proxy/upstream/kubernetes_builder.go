package upstream

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/proxy/upstream/kubernetes"
)

// kubernetesBuilder makes resolvers of the EndpointSlices of a service (Traffic 175).
type kubernetesBuilder struct{ folder string }

var (
	_ resolver.Builder            = kubernetesBuilder{}
	_ resolver.AuthorityOverrider = kubernetesBuilder{}
)

// Scheme implements resolver.Builder.
func (kubernetesBuilder) Scheme() string { return "k8s" }

// OverrideAuthority implements resolver.AuthorityOverrider.
func (kubernetesBuilder) OverrideAuthority(target resolver.Target) string {
	service, err := kubernetes.ParseService(target.Endpoint())
	if err != nil {
		return "" // Build says so
	}
	return service.Host()
}

// Build implements resolver.Builder. It does not fail outside of a pod, so that a
// configuration can be checked anywhere; then calls say what is missing.
func (b kubernetesBuilder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	service, err := kubernetes.ParseService(target.Endpoint())
	if err != nil {
		return nil, err
	}
	return pods{kubernetes.Watch(service, b.folder, func(all []kubernetes.Endpoint, err error) {
		switch {
		case err == nil:
			_ = conn.UpdateState(podState(all)) // there is one at least
		case errors.Is(err, kubernetes.ErrNone):
			conn.ReportError(fmt.Errorf("%w: %w", errNoAddress, err))
		default:
			conn.ReportError(err)
		}
	})}, nil
}

// podState has the pods that end as those that get calls only while no other one can.
func podState(all []kubernetes.Endpoint) (state resolver.State) {
	for _, pod := range all {
		var endpoint resolver.Endpoint
		for _, address := range pod.Addresses {
			endpoint.Addresses = append(endpoint.Addresses, resolver.Address{Addr: address})
		}
		share := Share{Weight: 1, Zone: pod.Zone}
		if pod.Terminating {
			share.Priority = 1
		}
		state.Endpoints = append(state.Endpoints, WithShare(endpoint, share))
	}
	return state
}

// pods is the resolver of a service, which need not be asked again.
type pods struct{ watcher *kubernetes.Watcher }

var _ resolver.Resolver = pods{}

// ResolveNow implements resolver.Resolver.
func (pods) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (p pods) Close() { p.watcher.Close() }
