package config

import (
	"fmt"
	"net/url"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ownSinkNames are the names of the gateway's own among those of sinks: for counters, and for
// places in the log.
var ownSinkNames = []string{"log", "intents", "listeners"}

// readerPrefix is what the names of the readers of the log begin with that are no sinks.
const readerPrefix = "sub-"

// maxSource is the longest events.source, in bytes.
const maxSource = 1 << 10

// events checks where events go. What is wrong with a sink's own settings, the sinks say.
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
	if p := e.GetPrefix(); p != "" && !ownPath.MatchString(p) {
		c.fail("events.prefix", "found %.100q, expected the front of a path, such as %q: segments of letters, digits, \".\", \"_\", \"~\" and \"-\", without a slash at the end", p, "/v1")
	}
	c.subscriptions(e)
	for i, s := range e.GetStreams() {
		if !topicName.MatchString(s.GetTopic()) {
			c.fail(fmt.Sprintf("events.streams[%d].topic", i), "found %.100q, expected the name of a topic, such as \"api_events\"", s.GetTopic())
		}
	}
	c.behaviour(e.GetBehaviour())
	for _, name := range ownSinkNames {
		if e.GetSinks()[name] != nil {
			c.fail(join("events.sinks", name), "found the name %q, which the gateway uses itself: choose another one, such as %q", name, name+"2")
		}
	}
	for name := range e.GetSinks() {
		if strings.HasPrefix(name, readerPrefix) {
			c.fail(join("events.sinks", name), "found a name that begins with %q, as the places of subscriptions in the log do: choose another one, such as %q", readerPrefix, "to-"+name)
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
