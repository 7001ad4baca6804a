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
	// ConfigSum is that of the configuration in service, as config.File has it.
	ConfigSum string
	// Change is what the last good reload changed.
	Change Change
}

// Change is what a reload changed, in routes.
type Change struct {
	Added, Removed, Changed []string
}

// String is "+3 routes, -1, ~2".
func (c Change) String() string {
	if len(c.Added)+len(c.Removed)+len(c.Changed) == 0 {
		return "no route has changed"
	}
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
	return g.swap(start, next, problems)
}

// swap puts a snapshot into service; where problems are fatal, there is none.
func (g *Gateway) swap(start time.Time, next *Snapshot, problems Problems) (Change, error) {
	metrics, log := g.options.Telemetry.Metrics, g.options.Telemetry.Log
	if fatal := problems.Fatal(); len(fatal) > 0 {
		metrics.ReloadFailed(start, places(fatal)...)
		g.refused(start, problems)
		return Change{}, fatal
	}
	for _, p := range problems {
		log.Warn("load: "+p.Message, placed(p)...)
	}
	g.beginSubscriptions(next)
	g.reload.generation++
	next.Generation, next.Built, next.BuildFor, next.Problems = g.reload.generation, time.Now(), time.Since(start), problems
	next.refs.Store(1)
	old := g.current.Swap(next)
	change := difference(old, next)
	g.last.Store(&ReloadStatus{LoadedAt: next.Built, Problems: problems, Generation: next.Generation, ConfigSum: next.Config.Sum, Change: change})
	g.history.add(Reloaded{At: next.Built, Took: next.BuildFor, Generation: next.Generation, ConfigSum: next.Config.Sum, Problems: problems, Change: change})
	g.retainMetrics(next)
	g.setOverload(next)
	g.own.update(old, next)
	for conn, services := range next.called {
		conn.CheckServices(services)
	}
	g.reviewUpstreams(old)
	g.followSubscriptions(next)
	if old != nil && old.streams != nil {
		old.streams.Retire(next.streams)
	}
	metrics.ReloadSucceeded(start)
	if old != nil {
		old.release()
		g.LogInService()
	}
	return change, nil
}

// refused notes the problems of a reload that failed.
func (g *Gateway) refused(start time.Time, problems Problems) {
	if g.current.Load() != nil {
		for _, p := range problems.Fatal() {
			g.options.Telemetry.Log.Error("reload: "+p.Message, placed(p)...)
		}
	}
	failed := ReloadStatus{FailedAt: time.Now(), Problems: problems, Generation: g.reload.generation}
	if last := g.last.Load(); last != nil {
		failed.LoadedAt, failed.ConfigSum, failed.Change = last.LoadedAt, last.ConfigSum, last.Change
	}
	g.last.Store(&failed)
	g.history.add(Reloaded{
		At: failed.FailedAt, Took: failed.FailedAt.Sub(start), Generation: failed.Generation, ConfigSum: failed.ConfigSum, Refused: true, Problems: problems,
	})
	g.reviewUpstreams(nil)
}

// LogInService logs what is in service. Reload does so for all but the first snapshot,
// which is in service only when its caller listens.
func (g *Gateway) LogInService() {
	last, current := g.last.Load(), g.current.Load()
	if last == nil || current == nil {
		return
	}
	log := g.options.Telemetry.Log
	log.Info("in service: "+last.Change.String(), "generation", current.Generation, "routes", len(current.routes),
		"took", current.BuildFor.Round(time.Millisecond).String())
	if current.unready != "" {
		log.Warn(current.unready)
	}
	for _, t := range current.told {
		t.log(log)
	}
}

// placed is where a problem is, as attributes of a line of the log.
func placed(p Problem) []any {
	if p.File == "" {
		return nil
	}
	if p.Line == 0 {
		return []any{"file", p.File}
	}
	return []any{"file", p.File, "line", p.Line, "column", p.Column}
}

// reviewUpstreams tells of upstreams whose files cannot be used (Semantics 322). old is
// the snapshot before, whose upstreams may not be there any more; nil for none.
func (g *Gateway) reviewUpstreams(old *Snapshot) {
	g.reviewing.Lock()
	defer g.reviewing.Unlock()
	setting := func(name, part string) string { return "upstreams." + name + ".grpc." + part }
	now := map[string]bool{}
	for _, u := range g.Upstreams() {
		now[u.Name] = true
		g.notReloaded(setting(u.Name, "tls"), u.NotReloaded)
		g.notReloaded(setting(u.Name, "target"), u.ListNotReloaded)
	}
	if old == nil {
		return
	}
	for name := range old.conns {
		if !now[name] {
			g.notReloaded(setting(name, "tls"), "")
			g.notReloaded(setting(name, "target"), "")
		}
	}
}

// AwayStores lists the stores of policies that could not be used when they were asked
// last, each as "name: why".
func (g *Gateway) AwayStores() []string { return g.state.AwayStores() }

// Status says how the last reload went; nil before the first.
func (g *Gateway) Status() *ReloadStatus { return g.last.Load() }

// Ready reports whether a snapshot is in service that serves something, and the gateway is not shutting down, and if not, why.
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
	if current.bus != nil {
		if err := current.bus.Failure(); err != nil {
			return false, err.Error()
		}
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
