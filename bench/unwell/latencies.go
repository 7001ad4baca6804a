package unwell

import (
	"context"
	"fmt"
	"time"
)

const (
	// quick is how long a server takes that is well. It is long beside what a
	// gateway and a busy machine add.
	quick = 20 * time.Millisecond
	// slowRate is the calls a second while latencies are measured: that is 40 calls
	// under way.
	slowRate = 2000
	// hedgeRate is the same where a few calls take seconds.
	hedgeRate = 500
	// hedgeLearned is how many calls are made before those that are measured.
	hedgeLearned = 2000
)

// slow: one of ten servers takes ten times as long. The figure is the p99 with
// the servers that have fewer calls first, beside that with all in turn.
func slow(ctx context.Context, b *Bed) ([]Figure, error) {
	var figures []Figure
	for _, c := range []struct {
		label string
		of    func(time.Duration) Script
		goal  bool
	}{
		{"one of ten at 10× latency, exponential: p99, least_request ÷ round_robin", varies, true},
		{"the same where every call of a server takes as long", takes, false},
	} {
		var p99 [2]time.Duration
		var share [2]float64
		for i := range p99 {
			r, f, err := b.steady(ctx, 10, slowRate, Setup{RoundRobin: i == 1}, func(f *fleet) {
				f.all(c.of(quick))
				f.servers[0].Follow(c.of(10 * quick))
			})
			if err != nil {
				return figures, err
			}
			p99[i], share[i] = r.Quantile(0.99), 100*float64(f.servers[0].Arrivals())/float64(r.Calls)
		}
		figures = append(figures, Figure{
			Label: c.label, Value: p99[0].Seconds() / p99[1].Seconds(), Goal: 0.35, HasGoal: c.goal,
			Note: fmt.Sprintf("p99 %.0f and %.0f ms; the slow one had %.2f and %.2f %% of the calls",
				milliseconds(p99[0]), milliseconds(p99[1]), share[0], share[1]),
		})
	}
	return figures, nil
}

// hedge: one of ten servers takes a hundred times as long, and a call that takes
// longer than most is made a second time elsewhere.
func hedge(ctx context.Context, b *Bed) ([]Figure, error) {
	setup := Setup{Attempts: 2, Hedge: true, HedgeAfter: 3 * quick} // 3 × the mean is the p95 of an exponential distribution
	healthy, _, err := b.steady(ctx, 10, hedgeRate, Setup{}, func(f *fleet) { f.all(varies(quick)) })
	if err != nil {
		return nil, err
	}
	sick, f, err := b.steady(ctx, 10, hedgeRate, setup, func(f *fleet) {
		f.all(varies(quick))
		f.servers[0].Follow(varies(100 * quick))
		// The gateway is to know what calls take: what is measured is the steady state.
		_, _ = Call(ctx, f.Conns, Load{Calls: hedgeLearned, PerSecond: hedgeRate}) // It fails as what follows.
	})
	if err != nil {
		return nil, err
	}
	before := f.before
	extra := 100 * (float64(f.book.Arrivals()-before)/float64(sick.Calls) - 1)
	return []Figure{
		reach(2, Figure{
			Label: "one of ten at 100× latency, hedging: p99 ÷ the healthy p99", Value: sick.Quantile(0.99).Seconds() / healthy.Quantile(0.99).Seconds(),
			Note: fmt.Sprintf("p99 %.0f and %.0f ms; %s", milliseconds(sick.Quantile(0.99)), milliseconds(healthy.Quantile(0.99)), seen(sick)),
		}),
		reach(6, Figure{Label: "what it costs: arrivals beyond the calls", Value: extra, Unit: "%"}),
	}, nil
}

// steady measures a load that lasts. The fleet is closed; only its counts may
// be read.
func (b *Bed) steady(ctx context.Context, servers, rate int, setup Setup, prepare func(*fleet)) (*Result, *fleet, error) {
	calls := int(b.Sizes.Steady.Seconds() * float64(rate))
	f, err := b.open(ctx, servers, hedgeLearned+calls, setup)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	prepare(f)
	f.before = f.book.Arrivals()
	// The first keys may have been taken by prepare.
	r, err := Call(ctx, f.Conns, Load{First: hedgeLearned, Calls: calls, PerSecond: rate})
	return r, f, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
