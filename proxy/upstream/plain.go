package upstream

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Server is where a plain HTTP request goes.
type Server struct {
	// Network and Address are to be dialed.
	Network, Address string
	// Authority is what the server calls itself: its Host, and the name of its certificate.
	Authority string
}

// ErrNoServer is wrapped by errors of Begin where no server can take requests.
var ErrNoServer = errors.New("no server can take requests")

// Begin picks a server for a plain HTTP request, which is under way until End. It waits
// where all have as many as they may, until ctx ends. t is the same for all attempts of a
// request.
func (c *Conn) Begin(ctx context.Context, t *Turn) (Server, error) {
	t.dropTrial()
	t.last = nil
	for {
		if c.line.waiting.Load() == 0 || t.line.number != 0 {
			if e := c.enter(t); e != nil {
				c.line.end(&t.line, true)
				t.began = breaker.Now()
				return c.serverOf(e), nil
			}
		}
		c.mu.Lock()
		err := c.why()
		changed, reached := c.changed, c.reached()
		c.mu.Unlock()
		switch {
		case reached:
			err = c.queue(ctx, t)
		case err != nil:
			err = unavailable{err}
		default: // its name is being resolved, or its health asked for
			select {
			case <-changed:
			case <-ctx.Done():
				err = status.FromContextError(ctx.Err()).Err()
			}
		}
		if err != nil {
			c.line.end(&t.line, false)
			return Server{}, err
		}
	}
}

// unavailable is the error where there is no server. It tells clients no addresses.
type unavailable struct{ error }

// Unwrap gives the reason.
func (e unavailable) Unwrap() []error { return []error{ErrNoServer, e.error} }

// Error says no more than clients may know.
func (e unavailable) Error() string { return Reason(e.error) }

// GRPCStatus is UNAVAILABLE.
func (e unavailable) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, Reason(e.error))
}

// End says that the request that Begin began is not under way any more.
func (c *Conn) End(t *Turn) {
	e := t.last
	if e == nil {
		return
	}
	e.active.Add(-1)
	if c.target.LoadBalancing == byHash {
		c.load.Add(-1)
	}
	if c.line.waiting.Load() > 0 {
		c.line.next()
	}
}

// enter picks a server that takes one request more; nil where there is none.
func (c *Conn) enter(t *Turn) *Endpoint {
	for {
		e := c.choice.Load().trial(t)
		if e == nil {
			e = c.choice.Load().pick(t.place, t.tried)
		}
		if e == nil {
			return nil
		}
		if n := e.active.Add(1); e.most == 0 || n <= e.most {
			if c.target.LoadBalancing == byHash {
				c.load.Add(1)
			}
			t.took(e)
			return e
		}
		e.active.Add(-1)
		t.dropTrial()
		if e.Full() {
			return nil
		}
	}
}

// queue waits until there may be a server with room.
func (c *Conn) queue(ctx context.Context, t *Turn) error {
	w, err := c.line.join(&t.line, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if !c.allFull() || !c.reached() {
		c.line.next() // there is room since before we joined, maybe for another one in line
	}
	return c.line.turn(ctx, w)
}

// allFull reports whether no server that requests are spread over takes one more.
func (c *Conn) allFull() bool {
	for _, e := range c.choice.Load().endpoints {
		if !e.Full() {
			return false
		}
	}
	return true
}

// serverOf says how to reach an endpoint.
func (c *Conn) serverOf(e *Endpoint) Server {
	s := Server{Network: c.network, Address: e.at, Authority: c.authority}
	if !c.named {
		s.Authority = e.at
	}
	return s
}

// listed makes resolvers of a fixed list of servers.
type listed struct{ servers string }

var (
	_ resolver.Builder            = listed{}
	_ resolver.AuthorityOverrider = listed{}
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

// Scheme implements resolver.Builder.
func (listed) Scheme() string { return "servers" }

// OverrideAuthority implements resolver.AuthorityOverrider: each server has its own.
func (listed) OverrideAuthority(resolver.Target) string { return "localhost" }

// Build implements resolver.Builder.
func (l listed) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for line := range strings.Lines(l.servers) {
		address, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		weight, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, err
		}
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		state.Endpoints = append(state.Endpoints, WithShare(endpoint, Share{Weight: uint32(weight)}))
	}
	return fixed{}, conn.UpdateState(state)
}
