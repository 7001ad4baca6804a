// Package health asks servers how they are: by grpc.health.v1 over a connection that is
// there, or by GET over one of its own. It counts what they answer and says whether they
// are well. It knows no addresses but those it is given, and not what is done with its
// word.
//
//	s := health.NewState(check)
//	health.Each(ctx, check.Interval, func(ctx context.Context) { s.Note(http.Ask(ctx)) })
package health

import (
	"context"
	"math/rand/v2"
	"time"
)

// Check says how servers are asked. Equal ones are asked alike.
type Check struct {
	// Path is what is asked for by GET; "" for gRPC's own checks.
	Path string
	// Host is what the server is called by GET; "" for the authority of calls.
	Host string
	// Headers of GET, "name: value" each, joined by line ends.
	Headers string
	// Expect lists the statuses of a server that is well: "200,204", "2xx", "200-299".
	Expect string
	// Port is asked by GET; 0 for that of calls.
	Port uint16
	// Service is asked for by gRPC; "" is the server as a whole.
	Service string
	// PerService has each service of calls asked for by itself.
	PerService bool
	// Interval is how often a server is asked, give or take a fifth; Timeout bounds one
	// answer.
	Interval, Timeout time.Duration
	// Up and Down are how many answers of a kind in a row make a server well or ill.
	Up, Down int
}

// Defaults of what a Check leaves at zero.
const (
	DefaultInterval = 10 * time.Second
	DefaultTimeout  = 2 * time.Second
	DefaultUp       = 2
	DefaultDown     = 3
	DefaultExpect   = "2xx"
)

// WithDefaults fills in what is zero.
func (c Check) WithDefaults() Check {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Up == 0 {
		c.Up = DefaultUp
	}
	if c.Down == 0 {
		c.Down = DefaultDown
	}
	if c.Expect == "" {
		c.Expect = DefaultExpect
	}
	return c
}

// Report is how one question went.
type Report struct {
	// At is when the answer came.
	At time.Time
	// Well is what it says.
	Well bool
	// Why is the reason where Well is not set.
	Why string
	// Final is set for the server's own word, which holds at once: it is not counted.
	Final bool
}

// State is what is known of one server. The zero State is that of a server that has not
// been asked; it is not well. It is not safe for concurrent use.
type State struct {
	// Asked is set once there was an answer.
	Asked bool
	// Well is what holds.
	Well bool
	// Last is the last report.
	Last Report

	joined   bool // has been well
	ups, ill int  // of the last reports in a row
}

// Note counts a report, and reports whether Well has changed by it. The first success of
// a server counts at once (Traffic 180).
func (s *State) Note(c Check, r Report) (changed bool) {
	s.Asked, s.Last = true, r
	before := s.Well
	if r.Well {
		s.ups, s.ill = s.ups+1, 0
		if !s.joined || r.Final || s.ups >= c.Up {
			s.Well, s.joined = true, true
		}
	} else {
		s.ups, s.ill = 0, s.ill+1
		if r.Final || s.ill >= c.Down {
			s.Well = false
		}
	}
	return s.Well != before
}

// Each calls ask at once and then at each interval, longer or shorter by a fifth, until
// ctx ends.
func Each(ctx context.Context, interval time.Duration, ask func(context.Context)) {
	for ctx.Err() == nil {
		ask(ctx)
		rest(ctx, interval)
	}
}

// rest waits, longer or shorter by a fifth.
func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
