package upstream

import "log/slog"

// news is what the log has to hear of a Conn.
type news struct {
	level slog.Level
	text  string
	err   error // nil: none
}

// report tells the log, once for each reason, that the backend cannot be reached, or
// that its name is not resolved any more, and when it is again.
func (c *Conn) report() {
	c.mu.Lock()
	all := c.news()
	c.mu.Unlock()
	for _, n := range all {
		attrs := []any{"target", c.target.Address}
		if n.err != nil {
			attrs = append(attrs, "error", n.err.Error())
		}
		c.log.Log(c.ctx, n.level, n.text, attrs...)
	}
}

// news is what the log has not heard yet. c.mu is held.
func (c *Conn) news() (all []news) {
	if c.ctx.Err() != nil {
		return nil
	}
	switch failure := c.why(); {
	case c.reached() && c.failureLogged != "":
		c.failureLogged = ""
		all = append(all, news{slog.LevelInfo, "the backend is reached again", nil})
	case !c.reached() && failure != nil && Reason(failure) != c.failureLogged:
		c.failureLogged = Reason(failure)
		all = append(all, news{slog.LevelWarn, "the backend cannot be reached", withTLSAdvice(failure)})
	}
	switch stale := c.unresolved != nil && len(c.endpoints) > 0; {
	case stale && !c.staleLogged:
		c.staleLogged = true
		all = append(all, news{slog.LevelWarn, "the backend's name cannot be resolved; the addresses known so far stay in use", c.unresolved})
	case c.unresolved == nil && c.staleLogged:
		c.staleLogged = false
		all = append(all, news{slog.LevelInfo, "the backend's name is resolved again", nil})
	}
	return all
}
