package unwell

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// outage: every server answers UNAVAILABLE. What is retried must not multiply
// what arrives: the budget is a fifth of the calls, and ten a second.
func outage(ctx context.Context, b *Bed) ([]Figure, error) {
	rate := b.Sizes.Rate / 2
	calls := int(b.Sizes.Outage.Seconds() * float64(rate))
	f, err := b.open(ctx, 3, calls, Setup{Attempts: 3})
	if err != nil {
		return nil, err
	}
	defer f.close()
	f.all(answers(codes.Unavailable))
	r, err := Call(ctx, f.Conns, Load{Calls: calls, PerSecond: rate})
	if err != nil {
		return nil, err
	}
	arrived := f.book.Arrivals()
	bound := 1.2*float64(calls) + 10*r.Took.Seconds()
	return []Figure{reach(1, Figure{
		Label: "whole outage, 3 attempts: arrivals ÷ (1.2 × calls + 10/s)", Value: float64(arrived) / bound,
		Note: fmt.Sprintf("%d calls, %d arrivals", calls, arrived),
	})}, nil
}

// refusing: one of three servers is killed under way, or answers UNAVAILABLE.
func refusing(ctx context.Context, b *Bed) ([]Figure, error) {
	var figures []Figure
	for _, c := range []struct {
		label  string
		setup  Setup
		strike func(*Server)
		goal   bool
	}{
		{"one of three killed: failed calls", Setup{Attempts: 3}, (*Server).Kill, true},
		{"one of three answers UNAVAILABLE, ejection: failed calls", Setup{Attempts: 3, Outlier: true}, sicken, true},
		{"the same without ejection", Setup{Attempts: 3, Bare: true}, sicken, false},
	} {
		f, err := b.open(ctx, 3, b.Sizes.Idempotent, c.setup)
		if err != nil {
			return figures, err
		}
		r, err := refuse(ctx, f, b.Sizes.Idempotent, c.strike)
		f.close()
		if err != nil {
			return figures, err
		}
		figures = append(figures, Figure{
			Label: c.label, Value: float64(r.Failed), HasGoal: c.goal,
			Note: fmt.Sprintf("%s; %d arrivals, of them %d at the sick one", seen(r), f.book.Arrivals(), f.servers[0].Arrivals()),
		})
	}
	return figures, nil
}

func sicken(s *Server) { s.Follow(answers(codes.Unavailable)) }

// refuse makes a tenth of the calls, strikes a server while the next are under
// way, and makes the rest.
func refuse(ctx context.Context, f *fleet, calls int, strike func(*Server)) (*Result, error) {
	struck := make(chan struct{})
	go func() {
		defer close(struck)
		for f.book.Arrivals() < calls/10 && wait(ctx, time.Millisecond) == nil {
		}
		strike(f.servers[0])
	}()
	r, err := Call(ctx, f.Conns, Load{Calls: calls, Workers: 32})
	<-struck
	return r, err
}

// seen says what clients saw.
func seen(r *Result) string {
	if r.Failed == 0 {
		return fmt.Sprint(r.Calls, " calls")
	}
	return fmt.Sprintf("%d calls, failed: %s", r.Calls, r.Failures())
}

// kills: calls that are not to be made twice, while servers are killed and their
// connections are cut at random moments.
func kills(ctx context.Context, b *Bed) ([]Figure, error) {
	calls := b.Sizes.Creates
	f, err := b.open(ctx, 4, calls, Setup{Attempts: 3})
	if err != nil {
		return nil, err
	}
	defer f.close()
	f.all(varies(time.Millisecond))
	killing, stop := context.WithCancel(ctx)
	var killer sync.WaitGroup
	var struck int
	var failed error
	killer.Go(func() { struck, failed = kill(killing, f.servers) })
	r, err := Call(ctx, f.Conns, Load{Create: true, Calls: calls, Workers: 64})
	stop()
	killer.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return []Figure{reach(0, Figure{
		Label: "random kills, calls with side effects: arrived twice", Value: float64(f.book.Twice(0, calls)),
		Note: fmt.Sprintf("%s; %d kills", seen(r), struck),
	})}, nil
}

// kill strikes a server every few moments: its connections are cut, or it dies
// and another one takes its place. It returns how often.
func kill(ctx context.Context, servers []*Server) (n int, err error) {
	for wait(ctx, time.Duration(20+rand.IntN(80))*time.Millisecond) == nil {
		n++
		s := servers[rand.IntN(len(servers))]
		if rand.IntN(2) == 0 {
			s.Cut()
			continue
		}
		s.Kill()
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		if err := s.Start(context.WithoutCancel(ctx)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// restart: servers are restarted one after the other, gracefully while both
// methods are called without retries, and abruptly while the idempotent one is called
// with them.
func restart(ctx context.Context, b *Bed) ([]Figure, error) {
	var figures []Figure
	for _, c := range []struct {
		label string
		setup Setup
		loads int
		end   func(*Server)
	}{
		{"rolling restart by GOAWAY, no retries: failed calls", Setup{}, 2, (*Server).Drain},
		{"rolling restart by kill, 3 attempts: failed calls", Setup{Attempts: 3}, 1, (*Server).Kill},
	} {
		r, twice, err := b.roll(ctx, c.setup, c.loads, c.end)
		if err != nil {
			return figures, err
		}
		figures = append(figures, reach(0, Figure{Label: c.label, Value: float64(r.Failed), Note: seen(r)}))
		if c.loads == 2 {
			figures = append(figures, reach(0, Figure{Label: "of calls with side effects: arrived twice", Value: float64(twice)}))
		}
	}
	return figures, nil
}

const (
	// down is how long a server is down; between how long after that the next
	// one follows.
	down, between = 200 * time.Millisecond, 600 * time.Millisecond
)

// roll restarts the servers under load: GetItem, and CreateItem where there are
// two loads, each with its part of the rate.
func (b *Bed) roll(ctx context.Context, setup Setup, loads int, end func(*Server)) (*Result, int, error) {
	seconds := float64(b.Sizes.Restarts+1) * (down + between).Seconds()
	rate := b.Sizes.Rate / loads
	calls := int(seconds * float64(rate))
	f, err := b.open(ctx, b.Sizes.Restarts, loads*calls, setup)
	if err != nil {
		return nil, 0, err
	}
	defer f.close()
	f.all(varies(5 * time.Millisecond))
	results, failures := make([]*Result, loads), make([]error, loads)
	var callers sync.WaitGroup
	for i := range loads {
		callers.Go(func() {
			results[i], failures[i] = Call(ctx, f.Conns, Load{Create: i == 1, First: i * calls, Calls: calls, PerSecond: rate})
		})
	}
	err = rollOver(ctx, f.servers, end)
	callers.Wait()
	for _, e := range failures {
		if err == nil {
			err = e
		}
	}
	r := results[0]
	for _, other := range results[1:] {
		r.Calls, r.Failed = r.Calls+other.Calls, r.Failed+other.Failed
		for code, n := range other.Codes {
			r.Codes[code] += n
		}
	}
	return r, f.book.Twice(calls, loads*calls), err
}

func rollOver(ctx context.Context, servers []*Server, end func(*Server)) error {
	for _, s := range servers {
		if err := wait(ctx, between); err != nil {
			return err
		}
		end(s)
		if err := wait(ctx, down); err != nil {
			return err
		}
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
