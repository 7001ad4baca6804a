package upstream

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/proxy/upstream/addressfile"
)

// fileBuilder makes resolvers of files that list addresses (Traffic 176).
type fileBuilder struct{}

var (
	_ resolver.Builder            = fileBuilder{}
	_ resolver.AuthorityOverrider = fileBuilder{}
)

// Scheme implements resolver.Builder.
func (fileBuilder) Scheme() string { return "file" }

// OverrideAuthority implements resolver.AuthorityOverrider: a file has no name of the
// backend.
func (fileBuilder) OverrideAuthority(resolver.Target) string { return "localhost" }

// Build implements resolver.Builder. It fails where the file cannot be used now; later
// on, what it listed last stays.
func (fileBuilder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	name := target.URL.Path
	if target.URL.Host != "" || name == "" {
		return nil, fmt.Errorf(`%q is no absolute path; expected "file:///path"`, target.URL.Host+name)
	}
	file, err := addressfile.Watch(name, func(all []addressfile.Address, err error) {
		switch {
		case err == nil:
			_ = conn.UpdateState(fileState(all)) // the list is not empty
		case errors.Is(err, addressfile.ErrEmpty):
			conn.ReportError(fmt.Errorf("%w: %w", errNoAddress, err))
		default:
			conn.ReportError(err)
		}
	})
	if err != nil {
		return nil, err
	}
	return watched{file}, nil
}

func fileState(all []addressfile.Address) (state resolver.State) {
	for _, a := range all {
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: a.Address}}}
		share := Share{Weight: a.Weight, Priority: a.Priority, Zone: a.Zone}
		state.Endpoints = append(state.Endpoints, WithShare(endpoint, share))
	}
	return state
}

// watched is the resolver of a file, which need not be asked again.
type watched struct{ file *addressfile.File }

var _ resolver.Resolver = watched{}

// ResolveNow implements resolver.Resolver.
func (watched) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (w watched) Close() { _ = w.file.Close() } // what it watched is not needed any more
