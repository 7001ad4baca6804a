package sinks

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Check tells report what is wrong with the sinks of a configuration that stands at path. It
// reads the files that they name, and connects nowhere. Messages tell no secrets.
func Check(path string, e *transomv1.Events, env events.Env, report func(path, message string)) {
	c := &checker{env: env, report: report, at: path, topics: e.GetTopics()}
	if e.GetKafka() != nil {
		c.kafka(path+".kafka", e.Kafka)
	}
	if e.GetNats() != nil {
		c.nats(path+".nats", e.Nats)
	}
	for _, name := range slices.Sorted(maps.Keys(e.GetSinks())) {
		at := path + ".sinks." + name
		switch {
		case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || name == "":
			c.fail(at, "found the name %q, expected lower-case letters, digits, hyphens and underscores", name)
		case name[0] == '-' || name[0] == '_':
			c.fail(at, "found the name %q, expected one that begins with a letter or a digit", name)
		case len(name) > maxName:
			c.fail(at, "found a name of %d bytes, expected at most %d", len(name), maxName)
		case name == kafkaName && e.GetKafka() != nil, name == natsName && e.GetNats() != nil:
			c.fail(at, "found %q, which is the sink at %s.%s, too", name, path, name)
		}
		c.sink(at, e.Sinks[name])
	}
}

// maxName is the longest name of a sink: it is a label of metrics and a place in the log.
const maxName = 63

// checker finds what is wrong.
type checker struct {
	env    events.Env
	report func(path, message string)
	at     string // where the events stand
	topics []*transomv1.EventTopic
}

func (c *checker) fail(path, format string, args ...any) {
	c.report(path, fmt.Sprintf(format, args...))
}

func (c *checker) sink(path string, s *transomv1.EventSink) {
	switch kind := s.GetKind().(type) {
	case *transomv1.EventSink_Kafka:
		c.kafka(path+".kafka", kind.Kafka)
	case *transomv1.EventSink_Nats:
		c.nats(path+".nats", kind.Nats)
	case *transomv1.EventSink_Webhook:
		c.webhook(path+".webhook", kind.Webhook)
	default:
		c.fail(path, "found no kind, expected one of kafka, nats, webhook")
	}
}

// oneEvent holds that a message has one event.
func (c *checker) oneEvent(path string, mode transomv1.EventMode) {
	if mode == transomv1.EventMode_BATCH {
		c.fail(path, "found BATCH, which webhooks alone have; expected BINARY or STRUCTURED")
	}
}

func (c *checker) duration(path string, d *durationpb.Duration, least, most time.Duration) {
	if d == nil {
		return
	}
	if got := d.AsDuration(); got < least || got > most {
		c.fail(path, "found %s, expected %s to %s", span.Text(got), span.Text(least), span.Text(most))
	}
}

// address holds that text is "host:port".
func (c *checker) address(path, text string) {
	host, port, err := net.SplitHostPort(text)
	n, numeric := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || numeric != nil || n == 0 {
		c.fail(path, `found %q, expected "host:port"`, text)
	}
}

// secret reads a value that must be there, and returns it; "" after a problem.
func (c *checker) secret(path, value, what string) string {
	if value == "" {
		c.fail(path, "found none, expected %s, or file:PATH", what)
		return ""
	}
	text, err := c.env.Secret(value)
	if err != nil {
		c.fail(path, "cannot read the file it refers to: %v", err)
		return ""
	}
	if text == "" {
		c.fail(path, "the file it refers to is empty, expected %s", what)
	}
	return text
}

// file holds that a file is there.
func (c *checker) file(path, name string) {
	resolved := c.env.Resolve(name)
	switch info, err := regularfile.Stat(resolved); {
	case err != nil:
		c.fail(path, "%v", err)
	case info.IsDir():
		c.fail(path, "%s is a folder, expected a file", resolved)
	}
}

func (c *checker) tls(path string, t *transomv1.SinkTls) {
	if t.GetCa() != "" {
		c.file(path+".ca", t.Ca)
	}
	switch cert, key := t.GetCert() != "", t.GetKey() != ""; {
	case cert && !key:
		c.fail(path+".key", "found none beside cert, expected the file of its key")
	case key && !cert:
		c.fail(path+".cert", "found none beside key, expected the file of its certificate")
	case cert:
		c.file(path+".cert", t.Cert)
		c.file(path+".key", t.Key)
	}
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// without holds that fields are not set, which have no effect beside what is said in beside.
func (c *checker) without(path, beside string, fields map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] {
			c.fail(path+"."+name, "found it beside %s, where it has no effect: remove it", beside)
		}
	}
}
