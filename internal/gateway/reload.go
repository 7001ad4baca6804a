package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/observe"
)

// ReloadStatus says how the last reload went.
type ReloadStatus struct {
	// LoadedAt is when the snapshot in service came into service.
	LoadedAt time.Time
	// FailedAt is when the last reload failed; zero if it worked.
	FailedAt time.Time
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
// error is Problems; then what was in service stays there, and the log tells them.
// Where nothing was in service, that is left to the caller, who cannot go on.
func (g *Gateway) Reload(ctx context.Context) (Change, error) {
	g.reload.Lock()
	defer g.reload.Unlock()
	start := time.Now()
	next, problems := g.build(ctx)
	metrics, log := g.options.Telemetry.Metrics, g.options.Telemetry.Log
	if fatal := problems.Fatal(); len(fatal) > 0 {
		metrics.ReloadFailed(start, places(fatal)...)
		for _, p := range fatal {
			if g.current.Load() == nil {
				break
			}
			log.Error("reload: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
		}
		failed := ReloadStatus{FailedAt: time.Now(), Problems: problems, Generation: g.reload.generation}
		if last := g.last.Load(); last != nil {
			failed.LoadedAt, failed.Change = last.LoadedAt, last.Change
		}
		g.last.Store(&failed)
		return Change{}, fatal
	}
	for _, p := range problems {
		log.Warn("load: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
	}
	g.reload.generation++
	next.Generation, next.Built, next.BuildFor, next.Problems = g.reload.generation, time.Now(), time.Since(start), problems
	next.refs.Store(1)
	old := g.current.Swap(next)
	change := difference(old, next)
	g.last.Store(&ReloadStatus{LoadedAt: next.Built, Problems: problems, Generation: next.Generation, Change: change})
	g.retainMetrics(next)
	g.own.update(old, next)
	if old != nil {
		old.release()
	}
	metrics.ReloadSucceeded(start)
	log.Info("in service: "+change.String(), "generation", next.Generation, "routes", len(next.routes),
		"took", next.BuildFor.Round(time.Millisecond).String())
	return change, nil
}

// Status says how the last reload went; nil before the first.
func (g *Gateway) Status() *ReloadStatus { return g.last.Load() }

// Ready says whether a snapshot is in service that serves something, or was told
// to serve nothing, and the gateway is not shutting down, and if not, why.
func (g *Gateway) Ready() (ready bool, reason string) {
	current := g.current.Load()
	switch {
	case g.draining.Err() != nil:
		return false, errDraining.Error()
	case current == nil:
		return false, "no configuration has been loaded yet"
	case current.unready != "":
		return false, current.unready
	}
	return true, ""
}

// difference compares the routes of two snapshots.
func difference(old, next *Snapshot) Change {
	before := old.byName()
	var c Change
	for key, route := range next.byName() {
		switch was, ok := before[key]; {
		case !ok:
			c.Added = append(c.Added, key)
		case !was.same(route):
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

// places are where the problems are, for the metrics.
func places(problems Problems) []observe.Place {
	var all []observe.Place
	for _, p := range problems {
		all = append(all, observe.Place{File: p.File, Line: p.Line, Column: p.Column})
	}
	return all
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
