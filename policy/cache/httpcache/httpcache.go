// Package httpcache is the policy cache of plain HTTP routes: a shared cache by RFC 9111.
// Answers to GET are kept and given again to GET and HEAD, stale ones are asked for by their
// validators, and a request that may change something drops what is kept of its URI.
//
// An answer's key is the URI, what is asked for at the server, who shares the answer and the
// headers that it varies by. Answers are in the gateway's one memory, with those of RPCs.
// Requests that are equal and miss at the same time are one request to the server, whose
// answer goes into memory at the server's pace, to all clients at their own.
package httpcache

import (
	"time"

	"github.com/transom-gateway/transom/internal/s3fifo"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
)

const name = "cache"

// Kind is the policy cache of plain HTTP routes.
func Kind() policy.Kind { return policy.Kind{Field: name, Compile: compile} }

// part keeps the answers of one route from one upstream.
type part struct {
	rpc     string
	flights *flights
	group   *group
	shared  *tier.Tier          // tells other gateways what is dropped; nil without Redis
	count   func(result string) // a decision
	now     func() time.Time

	rfc9111.Rule
	obeyClient bool
	timeout    time.Duration
}

var _ policy.HeaderChanger = (*part)(nil)

// Name implements policy.Part.
func (*part) Name() string { return name }

// AnswersUsage is how full the memory of all answers is.
func (p *part) AnswersUsage() s3fifo.Usage { return p.flights.memory.Usage() }

// PurgeRoutes drops the kept answers of a route, with a tag, which is a URI, and of a principal, as far as
// they are not empty. It returns how many here, and whether other gateways were told, as peers.Purge.
func (p *part) PurgeRoutes(rpc, tag, principal string) (n int, told bool) {
	purge := memory.Purge{RPC: rpc, Tag: tag, Principal: principal}
	return peers.Purge(p.shared, purge, func() int { return p.flights.purge(purge) })
}
