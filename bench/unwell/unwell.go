// Package unwell makes servers fail behind a gateway and counts what clients see
// of it and what arrives at the servers. It knows servers, calls and counts; what
// stands between them is the Bed's.
//
//	bed := &unwell.Bed{Start: startTransom, Address: freeAddress, Sizes: unwell.Short()}
//	for _, c := range unwell.Cases() {
//		figures, err := c.Run(ctx, bed)
//	}
package unwell

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// Setup is how a gateway is configured for a case. GetItem has no side effects;
// CreateItem may have some, and is not to be called twice.
type Setup struct {
	// Servers are their addresses.
	Servers []string
	// RoundRobin takes the servers in turn; else those with fewer calls come first.
	RoundRobin bool
	// Attempts are those of GetItem, the first included; 0: no retries.
	Attempts int
	// PerTry bounds each attempt; 0: nothing does.
	PerTry time.Duration
	// Hedge makes a second attempt at GetItem beside a first one that is slow:
	// where the gateway can, one that takes longer than 95 of 100 do, else
	// after HedgeAfter.
	Hedge      bool
	HedgeAfter time.Duration
	// Outlier ejects servers that fail. A gateway that needs it to leave servers
	// which have gone may do so in any case, but for Bare.
	Outlier, Bare bool
}

// Stand is a gateway that runs.
type Stand struct {
	// Conns are connections of clients to it.
	Conns []grpc.ClientConnInterface
	// Stop ends it and closes them.
	Stop func()
}

// Sizes are how much the cases do.
type Sizes struct {
	// Idempotent and Creates are the calls of the cases "refusing" and "kills".
	Idempotent, Creates int
	// Outage is how long the whole outage lasts.
	Outage time.Duration
	// Steady is how long latencies are measured, each time.
	Steady time.Duration
	// Restarts are how many servers are restarted, one after the other.
	Restarts int
	// Rate is the calls a second of all cases but "slow" and "hedge".
	Rate int
	// Hole is how long a server is a black hole; Recovery how long to wait for it
	// to have its share again.
	Hole, Recovery time.Duration
	// Streams are those of the case "streams".
	Streams int
	// Try bounds the attempts of Retries; a call's deadline is eight times as long.
	Try time.Duration
}

// Full are the sizes that the goals are about, but for the Creates, which take
// minutes for a million.
func Full() Sizes {
	return Sizes{
		Idempotent: 100_000, Creates: 100_000, Outage: 10 * time.Second, Steady: 15 * time.Second,
		Restarts: 10, Rate: 2000, Hole: 5 * time.Second, Recovery: time.Minute, Streams: 500,
		Try: 250 * time.Millisecond,
	}
}

// Bed is where cases are run.
type Bed struct {
	// Start starts a gateway.
	Start func(context.Context, Setup) (*Stand, error)
	// Address returns one that nobody listens at.
	Address func() (string, error)
	Sizes   Sizes
}

// Figure is what a case measures.
type Figure struct {
	Label string
	Value float64
	// Unit follows the value, if there is one: "ms".
	Unit string
	// Goal is the largest value to reach, where HasGoal.
	Goal    float64
	HasGoal bool
	// Note tells the circumstances.
	Note string
}

// Case is one way in which servers fail.
type Case struct {
	Name string
	Run  func(context.Context, *Bed) ([]Figure, error)
}

// Cases are all of them.
func Cases() []Case {
	return []Case{
		{"outage", outage},
		{"refusing", refusing},
		{"kills", kills},
		{"slow", slow},
		{"hedge", hedge},
		{"restart", restart},
		{"hole", hole},
		{"streams", streams},
	}
}

// reach is a figure with a goal.
func reach(goal float64, f Figure) Figure {
	f.Goal, f.HasGoal = goal, true
	return f
}

// fleet is servers behind a gateway.
type fleet struct {
	*Stand

	servers []*Server
	book    *Book
	before  int // what had arrived when the load began
}

// open starts servers and a gateway in front of them, and calls until each server
// has a connection. Its end is close.
func (b *Bed) open(ctx context.Context, servers, calls int, setup Setup, options ...grpc.ServerOption) (f *fleet, err error) {
	f = &fleet{book: NewBook(calls)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	for range servers {
		address, err := b.Address()
		if err != nil {
			return f, err
		}
		s := newServer(address, f.book, options...)
		if err := s.Start(ctx); err != nil {
			return f, err
		}
		f.servers = append(f.servers, s)
		setup.Servers = append(setup.Servers, address)
	}
	if f.Stand, err = b.Start(ctx, setup); err != nil {
		return f, err
	}
	return f, f.warm(ctx)
}

// warm calls until every server has a connection and every connection of the
// clients has had an answer.
func (f *fleet) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var failed error
		for _, conn := range f.Conns {
			if _, err := benchv1.NewItemServiceClient(conn).GetItem(ctx, &benchv1.GetItemRequest{}); err != nil {
				failed = err
			}
		}
		connected := 0
		for _, s := range f.servers {
			if s.Connected() {
				connected++
			}
		}
		if failed == nil && connected == len(f.servers) {
			return nil
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the gateway is not ready: %d of %d servers have connections; %w", connected, len(f.servers), failed)
		}
	}
}

// close ends the gateway and the servers.
func (f *fleet) close() {
	if f.Stand != nil {
		f.Stop()
	}
	for _, s := range f.servers {
		s.Kill()
	}
}

// all sets what all servers do.
func (f *fleet) all(script Script) {
	for _, s := range f.servers {
		s.Follow(script)
	}
}
