package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ReloadStatus says how the last reload went.
type ReloadStatus struct {
	// At is when it ended.
	At time.Time
	// Problems are those of the last reload; fatal ones mean that the snapshot
	// before it is still in service.
	Problems Problems
	// Generation is that of the snapshot in service.
	Generation int
	// Change is what the last good reload changed.
	Change Change
}

// Change is what a reload changed, in routes.
type Change struct {
	Added, Removed, Changed []string
}

// String is "+3 routes, -1, ~2".
func (c Change) String() string {
	return fmt.Sprintf("+%d routes, -%d, ~%d", len(c.Added), len(c.Removed), len(c.Changed))
}

// Reload reads all inputs anew and swaps the result in, all or nothing. The
// error is Problems; then what was in service stays there.
func (g *Gateway) Reload(ctx context.Context) (Change, error) {
	g.reload.Lock()
	defer g.reload.Unlock()
	start := time.Now()
	next, problems := g.build(ctx)
	metrics, log := g.options.Telemetry.Metrics, g.options.Telemetry.Log
	if fatal := problems.Fatal(); len(fatal) > 0 {
		metrics.ReloadFailed()
		for _, p := range fatal {
			log.Error("reload: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
		}
		g.setStatus(problems, Change{})
		return Change{}, fatal
	}
	for _, p := range problems {
		log.Warn("left out: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
	}
	g.reload.generation++
	next.Generation, next.Built, next.BuildFor, next.Problems = g.reload.generation, time.Now(), time.Since(start), problems
	next.refs.Store(1)
	old := g.current.Swap(next)
	change := difference(old, next)
	g.setStatus(problems, change)
	g.retainMetrics(next)
	if old != nil {
		old.release()
	}
	metrics.ReloadSucceeded(next.Built, next.BuildFor)
	log.Info("in service: "+change.String(), "generation", next.Generation, "routes", len(next.routes),
		"took", next.BuildFor.Round(time.Millisecond).String())
	return change, nil
}

func (g *Gateway) setStatus(p Problems, c Change) {
	s := &ReloadStatus{At: time.Now(), Problems: p, Generation: g.reload.generation, Change: c}
	g.last.Store(s)
}

// Status says how the last reload went; nil before the first.
func (g *Gateway) Status() *ReloadStatus { return g.last.Load() }

// Ready says whether a snapshot is in service and the gateway is not shutting
// down, and if not, why.
func (g *Gateway) Ready() (ready bool, reason string) {
	switch {
	case g.draining.Err() != nil:
		return false, errDraining.Error()
	case g.current.Load() == nil:
		return false, "no configuration has been loaded yet"
	}
	return true, ""
}

// difference compares the routes of two snapshots.
func difference(old, next *Snapshot) Change {
	before := old.fingerprints()
	var c Change
	for key, print := range next.fingerprints() {
		switch was, ok := before[key]; {
		case !ok:
			c.Added = append(c.Added, key)
		case was != print:
			c.Changed = append(c.Changed, key)
		}
		delete(before, key)
	}
	for key := range before {
		c.Removed = append(c.Removed, key)
	}
	for _, list := range [][]string{c.Added, c.Removed, c.Changed} {
		slices.Sort(list)
	}
	return c
}

// Check builds everything and puts nothing in service.
func (g *Gateway) Check(ctx context.Context) Problems {
	g.reload.Lock()
	defer g.reload.Unlock()
	next, problems := g.build(ctx)
	if next != nil {
		next.refs.Store(1)
		next.release()
	}
	return problems
}

// joinProblems makes Problems of the errors of other packages.
func joinProblems(err error) Problems {
	if err == nil {
		return nil
	}
	var p Problems
	if errors.As(err, &p) {
		return p
	}
	return Problems{{Message: strings.TrimSpace(err.Error())}}
}
