package upstream

import (
	"log/slog"
	"time"
)

// news is what the log has to hear of a Conn.
type news struct {
	level slog.Level
	text  string
	attrs []any
}

// reported is what the log has heard of a Conn.
type reported struct {
	failure string // that the backend cannot be reached for this reason; "" if it can
	stale   bool   // that its name is not resolved any more
	crowd   bool   // that it has more addresses than are used
	panics  bool   // that too few endpoints are well

	failures, names, crowds, health, wells, servers rarely
}

// wording is what the log hears of addresses that are not found any more, and are again.
type wording struct{ stale, found string }

var (
	ofNames = wording{"the backend's name cannot be resolved; the addresses known so far stay in use", "the backend's name is resolved again"}
	ofLists = wording{"the backend's addresses cannot be found; those known so far stay in use", "the backend's addresses are found again"}
)

// report tells the log, once for each reason, that the backend cannot be reached, or
// that its name is not resolved any more, and when it is again.
func (c *Conn) report() {
	c.mu.Lock()
	all := c.news()
	c.mu.Unlock()
	c.tell(all)
}

func (c *Conn) tell(all []news) {
	for _, n := range all {
		c.log.Log(c.ctx, n.level, n.text, append([]any{"target", c.target.Name()}, n.attrs...)...)
	}
}

// add adds news that is not one line too many of its kind.
func (r *rarely) add(all []news, level slog.Level, text string, err error, attrs ...any) []news {
	ok, last := r.allow(time.Now())
	if !ok {
		return all
	}
	if err != nil {
		attrs = append(attrs, "error", err.Error())
	}
	if last {
		attrs = append(attrs, "note", leftOut)
	}
	return append(all, news{level, text, attrs})
}

// news is what the log has not heard yet. c.mu is held.
func (c *Conn) news() (all []news) {
	if c.ctx.Err() != nil {
		return nil
	}
	r := &c.reported
	switch failure := c.why(); {
	case c.reached() && r.failure != "":
		r.failure = ""
		all = r.failures.add(all, slog.LevelInfo, "the backend is reached again", nil)
	case !c.reached() && failure != nil && Reason(failure) != r.failure:
		r.failure = Reason(failure)
		all = r.failures.add(all, slog.LevelWarn, "the backend cannot be reached", withTLSAdvice(failure))
	}
	all = c.serverNews(all)
	if c.panics != r.panics {
		r.panics = c.panics
		level, text := c.panicNews()
		all = r.wells.add(all, level, text, nil)
	}
	switch stale := c.unresolved != nil && len(c.endpoints) > 0; {
	case stale && !r.stale:
		r.stale = true
		all = r.names.add(all, slog.LevelWarn, c.words.stale, c.unresolved)
	case c.unresolved == nil && r.stale:
		r.stale = false
		all = r.names.add(all, slog.LevelInfo, c.words.found, nil)
	}
	switch crowd := c.crowded(); {
	case crowd != nil && !r.crowd:
		r.crowd = true
		all = r.crowds.add(all, slog.LevelWarn, "the backend has more addresses than are used: those of the lowest priority come first, then those in use already", crowd)
	case crowd == nil:
		r.crowd = false
	}
	return all
}

// serverNews is what the log hears of single servers that cannot be reached while others
// can, and are reached again. c.mu is held.
func (c *Conn) serverNews(all []news) []news {
	if !c.reached() || len(c.endpoints) < 2 {
		return all
	}
	for _, e := range c.endpoints {
		switch failure := e.why(); {
		case e.connected() && e.away:
			e.away = false
			all = c.reported.servers.add(all, slog.LevelInfo, "an endpoint is reached again", nil, "endpoint", e.name())
		case !e.connected() && failure != nil && !e.away:
			e.away = true
			all = c.reported.servers.add(all, slog.LevelWarn, "an endpoint cannot be reached", withTLSAdvice(failure), "endpoint", e.name())
		}
	}
	return all
}

// panicNews is what the log hears of too few endpoints that are well. c.mu is held.
func (c *Conn) panicNews() (slog.Level, string) {
	switch {
	case !c.panics:
		return slog.LevelInfo, "enough endpoints are well again: the others get no calls"
	case c.target.FailClosed:
		return slog.LevelWarn, "too few endpoints are well: calls are refused, as fail is CLOSED"
	}
	return slog.LevelWarn, "too few endpoints are well: calls go to the others, too, which are ejected, unhealthy or taken out"
}
