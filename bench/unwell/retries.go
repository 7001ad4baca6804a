package unwell

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Outcome is what became of the calls of a method that met a fault.
type Outcome struct {
	Fault string
	// Create: the method may have side effects.
	Create bool
	// Calls are how many were made, Arrivals how often they arrived; Twice is how
	// many of them arrived more than once.
	Calls, Arrivals, Twice int
	// Seen is what clients saw, such as "OK" or "2 UNAVAILABLE".
	Seen string
}

// moment is how long after its header a call meets a fault.
const moment = 10 * time.Millisecond

// faults are what calls meet, one of them at a time. All three servers follow the
// script; where there is a blow it falls before the calls instead.
var faults = []struct {
	name   string
	script Script
	blow   func([]*Server)
}{
	{name: "UNAVAILABLE once", script: first(answers(codes.Unavailable))},
	{name: "UNAVAILABLE always", script: answers(codes.Unavailable)},
	{name: "RESOURCE_EXHAUSTED once", script: first(answers(codes.ResourceExhausted))},
	{name: "INTERNAL once", script: first(answers(codes.Internal))},
	{name: "UNAVAILABLE once, after the header", script: first(headed(answers(codes.Unavailable)))},
	{name: "connection reset once", script: first(cuts)},
	{name: "connection reset once, after the header", script: first(headed(cuts))},
	{name: "no answer once", script: first(hangs)},
	{name: "pushback of 0 ms once", script: first(pushes("0"))},
	{name: "pushback of -1 once", script: first(pushes("-1"))},
	{name: "one of three servers down", blow: func(servers []*Server) { servers[0].Kill() }},
	{name: "all servers down", blow: func(servers []*Server) {
		for _, s := range servers {
			s.Kill()
		}
	}},
}

// Retries lets calls of both methods meet each fault behind a gateway that makes
// three attempts.
func Retries(ctx context.Context, b *Bed) ([]Outcome, error) {
	const calls = 3
	f, err := b.open(ctx, 3, 2*calls*len(faults), Setup{Attempts: 3, PerTry: b.Sizes.Try, Bare: true})
	if err != nil {
		return nil, err
	}
	defer f.close()
	var outcomes []Outcome
	for i, fault := range faults {
		if fault.blow != nil {
			fault.blow(f.servers)
		}
		f.all(fault.script)
		for method, create := range []bool{false, true} {
			begun, key := f.book.Arrivals(), (2*i+method)*calls
			r, err := Call(ctx, f.Conns[:1], Load{Create: create, First: key, Calls: calls, Workers: 1, Timeout: 8 * b.Sizes.Try})
			if err != nil {
				return outcomes, err
			}
			o := Outcome{
				Fault: fault.name, Create: create, Calls: calls, Seen: "OK",
				Arrivals: f.book.Arrivals() - begun, Twice: f.book.Twice(key, key+calls),
			}
			if r.Failed > 0 {
				o.Seen = r.Failures()
			}
			outcomes = append(outcomes, o)
			if fault.blow == nil {
				if err := f.warm(ctx); err != nil {
					return outcomes, err
				}
			}
		}
		if err := f.mend(ctx); err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// mend starts the servers that are down and waits until all is well.
func (f *fleet) mend(ctx context.Context) error {
	f.all(nil)
	for _, s := range f.servers {
		if s.server == nil {
			if err := s.Start(ctx); err != nil {
				return err
			}
		}
	}
	return f.warm(ctx)
}

// headed sends the header, and a moment later follows a script.
func headed(script Script) Script {
	return func(ctx context.Context, s *Server, n int) error {
		if err := grpc.SendHeader(ctx, metadata.Pairs("seen", "first")); err != nil {
			return err
		}
		if err := wait(ctx, moment); err != nil {
			return err
		}
		return script(ctx, s, n)
	}
}

// pushes answers UNAVAILABLE and when to come again.
func pushes(pushback string) Script {
	return func(ctx context.Context, _ *Server, _ int) error {
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", pushback)); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "come again")
	}
}
