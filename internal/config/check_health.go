package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// minHealthInterval keeps checks from being most of what a server has to do.
	minHealthInterval = 100 * time.Millisecond
	// maxHealthTimeout bounds how long a start may wait for the first checks.
	maxHealthTimeout = time.Minute
	// maxHealthCount is the most answers in a row that make sense.
	maxHealthCount = 100
)

// health holds that a check of a gRPC upstream can be made.
func (c *checker) health(path string, h *transomv1.HealthCheck) {
	if h == nil {
		return
	}
	if d := h.Interval; d != nil && d.AsDuration() < minHealthInterval {
		c.fail(join(path, "interval"), "found %s, expected at least %s", span.Text(d.AsDuration()), span.Text(minHealthInterval))
	}
	if d := h.Timeout; d != nil && (d.AsDuration() <= 0 || d.AsDuration() > maxHealthTimeout) {
		c.fail(join(path, "timeout"), "found %s, expected more than 0s and at most %s", span.Text(d.AsDuration()), span.Text(maxHealthTimeout))
	}
	for key, n := range map[string]uint32{"up": h.Up, "down": h.Down} {
		if n > maxHealthCount {
			c.fail(join(path, key), "found %d, expected at most %d", n, maxHealthCount)
		}
	}
	if h.Path == "" {
		c.healthByGRPC(path, h)
		return
	}
	c.healthByHTTP(path, h)
}

// healthByGRPC refuses what only GET has.
func (c *checker) healthByGRPC(path string, h *transomv1.HealthCheck) {
	for key, set := range map[string]bool{"host": h.Host != "", "headers": len(h.Headers) > 0, "expect": h.Expect != "", "port": h.Port != 0} {
		if set {
			c.fail(join(path, key), "has no effect without a path: servers are asked by gRPC; set path, or remove it")
		}
	}
	if h.PerService && h.Service != "" {
		c.fail(join(path, "service"), "found %q beside per_service, expected one of them", h.Service)
	}
}

func (c *checker) healthByHTTP(path string, h *transomv1.HealthCheck) {
	if h.PerService {
		c.fail(join(path, "per_service"), "has no effect with a path: servers are asked by GET; remove one of them")
	}
	if h.Service != "" {
		c.fail(join(path, "service"), "has no effect with a path: servers are asked by GET; remove one of them")
	}
	if !strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, notOfPath) {
		c.fail(join(path, "path"), `found %q, expected a path such as "/healthz"`, h.Path)
	}
	if h.Host != "" && !httpguts.ValidHostHeader(h.Host) {
		c.fail(join(path, "host"), `found %q, expected a host such as "books.example"`, h.Host)
	}
	if h.Port > 65535 {
		c.fail(join(path, "port"), "found %d, expected a number from 1 to 65535", h.Port)
	}
	if h.Expect != "" && !expectable(h.Expect) {
		c.fail(join(path, "expect"), `found %q, expected statuses from 200 to 399, such as "200", "2xx", "200-399" or "200,204"`, h.Expect)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		at := join(join(path, "headers"), name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			c.fail(at, "found %q, expected the name of a header", name)
		case strings.EqualFold(name, "host"):
			c.fail(at, "found host among the headers; write it as host beside them")
		case field.HopByHop(name), strings.EqualFold(name, "content-length"): // the request has no body
			c.fail(at, "found %q, which is the connection's; remove it", name)
		case !httpguts.ValidHeaderFieldValue(h.Headers[name]):
			c.fail(at, "found a value that no header can have")
		}
	}
}

func notOfPath(r rune) bool { return r <= ' ' || r == '#' || r >= 0x7f }

// expectable reports whether a text lists statuses as health.ParseExpect reads them.
func expectable(text string) bool {
	parts := strings.Split(text, ",")
	if len(parts) > 20 {
		return false
	}
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if part == "2xx" || part == "3xx" {
			continue
		}
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, other := strconv.Atoi(last)
		if err != nil || other != nil || from < 200 || to > 399 || from > to {
			return false
		}
	}
	return true
}
