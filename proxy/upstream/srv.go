package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

const (
	// maxTargets bounds the names of one answer whose addresses are asked for.
	maxTargets = 1000
	// srvLookups is how many of them are asked for at once.
	srvLookups = 8
)

// srvBuilder makes resolvers for SRV records: names of servers with their ports,
// weights and priorities (Traffic 174).
type srvBuilder struct{ interval time.Duration }

var (
	_ resolver.Builder            = srvBuilder{}
	_ resolver.AuthorityOverrider = srvBuilder{}
)

// Scheme implements resolver.Builder.
func (srvBuilder) Scheme() string { return "srv" }

// OverrideAuthority implements resolver.AuthorityOverrider: the name without the labels
// of service and protocol, which no certificate has.
func (srvBuilder) OverrideAuthority(target resolver.Target) string {
	name := strings.TrimSuffix(target.Endpoint(), ".")
	for strings.HasPrefix(name, "_") {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	return name
}

// Build implements resolver.Builder. An authority, as in "srv://10.0.0.2/name", is the
// server to ask.
func (b srvBuilder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	name := target.Endpoint()
	if name == "" || strings.ContainsAny(name, ":/") {
		return nil, fmt.Errorf(`%q is no name of SRV records; expected one such as "_grpc._tcp.books.example"`, name)
	}
	system, err := resolverAt(target.URL.Host)
	if err != nil {
		return nil, err
	}
	s := &srvNames{system: system, name: name, last: map[string][]string{}}
	d := &dnsResolver{conn: conn, interval: b.interval, ask: s.ask}
	d.start()
	return d, nil
}

// srvNames asks for the SRV records of a name and for the addresses of what they name.
type srvNames struct {
	system *net.Resolver
	name   string
	last   map[string][]string // the addresses of each name in the last answer
}

// ask asks once. A name whose addresses cannot be found keeps those that it had.
func (s *srvNames) ask(ctx context.Context) (resolver.State, error) {
	_, records, err := s.system.LookupSRV(ctx, "", "", s.name)
	if err != nil && len(records) == 0 {
		return resolver.State{}, err
	}
	records = servers(records)
	if len(records) == 0 {
		return resolver.State{}, fmt.Errorf("%w: the SRV records of %s name no server", errNoAddress, s.name)
	}
	found, err := s.addresses(ctx, records)
	if ctx.Err() != nil {
		return resolver.State{}, ctx.Err()
	}
	s.last = found
	return srvState(records, found), err
}

// servers are the records that name one: "." is said where there is no service.
func servers(records []*net.SRV) (all []*net.SRV) {
	for _, r := range records {
		if r.Target != "." && r.Port != 0 && len(all) < maxTargets {
			all = append(all, r)
		}
	}
	return all
}

// addresses asks for those of all names. The error is why there is not a single one.
func (s *srvNames) addresses(ctx context.Context, records []*net.SRV) (map[string][]string, error) {
	found := map[string][]string{}
	var mu sync.Mutex
	var failed error
	var work sync.WaitGroup
	slots := make(chan struct{}, srvLookups)
	for _, name := range targets(records) {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			hosts, err := s.system.LookupHost(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			var missing *net.DNSError
			switch {
			case err == nil:
				found[name] = hosts
			case errors.As(err, &missing) && missing.IsNotFound:
				failed = fmt.Errorf("%w: %w", errNoAddress, err)
			default:
				failed = err
				if known := s.last[name]; known != nil {
					found[name] = known
				}
			}
		})
	}
	work.Wait()
	if len(found) > 0 {
		failed = nil
	}
	return found, failed
}

// targets are the names of the records, each once.
func targets(records []*net.SRV) (names []string) {
	seen := map[string]bool{}
	for _, r := range records {
		if !seen[r.Target] {
			seen[r.Target] = true
			names = append(names, r.Target)
		}
	}
	return names
}

// srvState is what the records say. Where all of a priority have weight 0, as by those
// who do not use weights, they share its calls evenly.
func srvState(records []*net.SRV, found map[string][]string) (state resolver.State) {
	weighted := map[uint16]bool{} // priorities
	for _, r := range records {
		weighted[r.Priority] = weighted[r.Priority] || r.Weight > 0
	}
	for _, r := range records {
		share := Share{Weight: uint32(r.Weight), Priority: uint32(r.Priority)}
		if !weighted[r.Priority] {
			share.Weight = 1
		}
		for _, host := range found[r.Target] {
			address := resolver.Address{Addr: net.JoinHostPort(host, strconv.Itoa(int(r.Port)))}
			endpoint := resolver.Endpoint{Addresses: []resolver.Address{address}}
			state.Endpoints = append(state.Endpoints, WithShare(endpoint, share))
		}
	}
	return state
}
