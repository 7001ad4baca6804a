package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// eventSinkNames are the names that sinks of events may have.
var eventSinkNames = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ownSinkNames are taken: by what stands beside sinks, and by the places of the gateway's own
// in the log.
var ownSinkNames = []string{"kafka", "nats", "log", "intents"}

// maxSource is the longest events.source, in bytes.
const maxSource = 1 << 10

// events checks where events go. What a sink says of its own settings comes with it.
func (c *checker) events(e *transomv1.Events) {
	if e == nil {
		return
	}
	if s := e.GetSource(); s != "" {
		if u, err := url.Parse(s); err != nil || len(s) > maxSource || u.Fragment != "" || u.RawQuery != "" {
			c.fail("events.source", "found %.100q, expected a URI or the path of one, such as %q, of up to %d bytes", s, "/shop", maxSource)
		}
	}
	if n := e.GetMaxEventBytes(); n != 0 && (n < 64<<10 || n > 960<<10) {
		c.fail("events.max_event_bytes", "found %d, expected 64 KiB (65536) to 960 KiB (983040)", n)
	}
	c.eventLog(e.GetLog())
	for _, name := range slices.Sorted(maps.Keys(e.GetSinks())) {
		path, sink := join("events.sinks", name), e.GetSinks()[name]
		switch {
		case slices.Contains(ownSinkNames, name):
			c.fail(path, "found the name %q, which the gateway uses itself: choose another one, such as %q", name, name+"2")
		case !eventSinkNames.MatchString(name):
			c.fail(path, "found the name %.100q, expected up to 63 lower-case letters, digits, hyphens and underscores", name)
		case sink.GetKind() == nil:
			c.fail(path, "found none of kafka, nats, webhook, expected one")
		}
	}
}

func (c *checker) eventLog(l *transomv1.EventLog) {
	const least, most, normal = 128 << 20, 16 << 40, 1 << 30
	path := "events.log"
	limit := l.GetMaxBytes()
	if limit != 0 && (limit < least || limit > most) {
		c.fail(join(path, "max_bytes"), "found %d, expected 128 MiB (%d) to 16 TiB", limit, int64(least))
	}
	if limit == 0 {
		limit = normal
	}
	if n := l.GetKeepBytes(); n >= limit {
		c.fail(join(path, "keep_bytes"), "found %d, expected less than max_bytes, which is %d", n, limit)
	}
	c.notNegative(join(path, "max_age"), l.GetMaxAge())
}
