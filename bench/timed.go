package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/bench/load"
)

// timed is a scenario whose figure is CPU time per request of the contender's
// process.
type timed struct {
	name, title string
	tool        load.Tool
	options     load.Options
	request     load.Request
	http2       bool
	// messages per request; the figures are per message. Zero: per request.
	messages int
	// form makes an answer comparable.
	form form
	// contenders; the first is the subject that the others are compared with.
	contenders  []contender
	transomOnly bool
	// withBackend: the CPU time of the gRPC backend counts, too, and the table has calls per
	// second, for all of the work is on one machine then.
	withBackend bool
}

// cost is what one request (or message) cost in one round.
type cost struct {
	cpu    time.Duration
	allocs float64 // NaN where the process does not count them.
	rate   float64 // Requests per second.
}

func (t timed) scenario() scenario {
	sc := scenario{name: t.name, title: t.title, unit: "CPU µs per request", transomOnly: t.transomOnly}
	if t.messages > 0 {
		sc.unit = "CPU µs per message"
	}
	for _, c := range t.contenders {
		sc.peers = append(sc.peers, c.peer)
	}
	sc.run = t.run
	return sc
}

// run compares the answers, warms everyone up, and then loads the contenders
// in turn, round by round, each round beginning with another one.
func (t timed) run(ctx context.Context, f *fleet, s settings) ([]row, error) {
	if err := t.compare(ctx, f); err != nil {
		return nil, err
	}
	for i := range t.contenders {
		if _, err := t.measure(ctx, f, i, time.Second); err != nil {
			return nil, err
		}
	}
	costs := make([][]cost, len(t.contenders))
	for round := range s.rounds {
		for n := range t.contenders {
			i := (n + round) % len(t.contenders)
			c, err := t.measure(ctx, f, i, s.time)
			if err != nil {
				return nil, err
			}
			costs[i] = append(costs[i], c)
		}
	}
	return t.rows(costs, s), nil
}

// measure loads one contender once.
func (t timed) measure(ctx context.Context, f *fleet, i int, long time.Duration) (cost, error) {
	c := t.contenders[i]
	p, err := f.peer(c.peer)
	if err != nil {
		return cost{}, err
	}
	o := t.options
	o.Time = long
	allocsBefore, err := p.mallocs(ctx)
	if err != nil {
		return cost{}, err
	}
	before, err := t.cpu(f, p)
	if err != nil {
		return cost{}, err
	}
	begun := time.Now()
	requests, err := t.tool(ctx, p.base, t.requestOf(c), o)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", c.label, err)
	}
	took := time.Since(begun)
	after, err := t.cpu(f, p)
	if err != nil {
		return cost{}, err
	}
	allocsAfter, err := p.mallocs(ctx)
	if err != nil {
		return cost{}, err
	}
	n := requests * int64(max(1, t.messages))
	return cost{
		cpu: (after - before) / time.Duration(n), allocs: (allocsAfter - allocsBefore) / float64(n), rate: float64(requests) / took.Seconds(),
	}, nil
}

// cpu is the time that counts for a contender so far.
func (t timed) cpu(f *fleet, p *peer) (time.Duration, error) {
	used, err := p.process.CPU()
	if err != nil || !t.withBackend {
		return used, err
	}
	backend, err := f.peer("backend")
	if err != nil {
		return 0, err
	}
	more, err := backend.process.CPU()
	return used + more, err
}

// requestOf returns what a contender is asked.
func (t timed) requestOf(c contender) load.Request {
	if c.request.Path != "" {
		return c.request
	}
	return t.request
}

// rows sums the rounds up.
func (t timed) rows(costs [][]cost, s settings) []row {
	var rows []row
	for i, c := range t.contenders {
		r := row{
			label:  c.label,
			figure: median(costs[i], func(c cost) float64 { return float64(c.cpu) / float64(time.Microsecond) }),
			allocs: median(costs[i], func(c cost) float64 { return c.allocs }),
			goal:   c.goal,
			ratio:  math.NaN(),
		}
		if t.withBackend {
			r.rate = median(costs[i], func(c cost) float64 { return c.rate })
		}
		if s.subject == subjectSelf { // The goals are Transom's.
			r.goal, r.label = 0, strings.Replace(r.label, "Transom", "stand-in", 1)
		}
		if i > 0 {
			var ratios []float64
			for round, c := range costs[i] {
				ratios = append(ratios, float64(costs[0][round].cpu)/float64(c.cpu))
			}
			r.ratio = median(ratios, func(f float64) float64 { return f })
			r.low, r.high = slices.Min(ratios), slices.Max(ratios)
		}
		rows = append(rows, r)
	}
	return rows
}

// median returns the middle value; the mean of the two middle ones of an even
// number.
func median[T any](all []T, value func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = value(v)
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}
