package sinks

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/events/webhook"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute
	maxConcurrency = 64
)

func (c *checker) webhook(path string, w *transomv1.WebhookSink) {
	c.webhookURL(path, w)
	if len(w.GetSecrets()) == 0 {
		c.fail(path+".secrets", `found none, expected at least one: "whsec_" and base64 of 24 to 64 bytes`)
	}
	for i, secret := range w.GetSecrets() {
		place := at(path+".secrets", i)
		if text := c.secret(place, secret, `"whsec_" and base64 of 24 to 64 bytes`); text != "" {
			if _, err := webhook.Key(text); err != nil {
				c.fail(place, "%v", err)
			}
		}
	}
	c.duration(path+".timeout", w.GetTimeout(), minTimeout, maxTimeout)
	if w.GetConcurrency() > maxConcurrency {
		c.fail(path+".concurrency", "found %d, expected 1 to %d", w.Concurrency, maxConcurrency)
	}
	for i, text := range w.GetAllow() {
		if err := webhook.CheckRange(text); err != nil {
			c.fail(at(path+".allow", i), "%v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.GetHeaders())) {
		c.header(path+".headers."+name, name, w.Headers[name])
	}
	c.tls(path+".tls", w.GetTls())
}

func (c *checker) webhookURL(path string, w *transomv1.WebhookSink) {
	const expected = `expected an https URL without user, password and fragment`
	u, err := url.Parse(w.GetUrl())
	switch {
	case w.GetUrl() == "":
		c.fail(path+".url", "found none, "+expected)
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		c.fail(path+".url", "found another text, "+expected) // it may hold a password
	case u.Scheme == "http" && !w.Insecure:
		c.fail(path+".url", "found an http URL, by which anybody on the way can read the events: expected https, or insecure for development")
	case u.Scheme == "http" && w.Tls != nil:
		c.fail(path+".tls", "found it beside an http URL, where it has no effect: remove it")
	default:
		if err := webhook.CheckHost(u.Hostname(), w.GetAllow()); err != nil {
			c.fail(path+".url", "%v", err)
		}
	}
}

// header holds that a header field is one, and none that requests have of themselves.
func (c *checker) header(path, name, value string) {
	lower := strings.ToLower(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		c.fail(path, "found the name %q, expected that of a header field", name)
		return
	case strings.HasPrefix(lower, "webhook-"), strings.HasPrefix(lower, "ce-"), slices.Contains(ownHeaders, lower):
		c.fail(path, "found %q, which requests have of themselves: remove it", name)
		return
	}
	if text := c.secret(path, value, "a value"); text != "" && !httpguts.ValidHeaderFieldValue(text) {
		c.fail(path, "found a value with control characters, expected none")
	}
}

// ownHeaders say what a request holds and how it is written.
var ownHeaders = []string{"content-type", "content-length", "content-encoding", "host", "connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect", "proxy-connection"}
