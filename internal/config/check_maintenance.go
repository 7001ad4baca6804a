package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maintenance checks the entries of maintenance.
func (c *checker) maintenance(config *transomv1.Config) {
	seen := map[string]string{}
	for i, m := range config.Maintenance {
		path := join("maintenance", i)
		if m.Name == "" {
			c.fail(join(path, "name"), "found none, expected what the admin listener calls it")
		} else if other, ok := seen[m.Name]; ok {
			c.fail(join(path, "name"), "found %q, which is the name of %s, too", m.Name, other)
		}
		seen[m.Name] = path
		for n, name := range m.Upstreams {
			c.knownUpstream(join(join(path, "upstreams"), n), name, config)
		}
		for n, pattern := range m.Services {
			c.selector(join(join(path, "services"), n), pattern)
		}
		for n, text := range m.Routes {
			if !slices.ContainsFunc(config.Routes, func(r *transomv1.HttpRoute) bool { return RoutePath(r.GetMatch()) == text }) {
				c.fail(join(join(path, "routes"), n), "found %q, expected the path of a route%s", text, routePaths(config, text))
			}
		}
		if d := m.RetryAfter.AsDuration(); m.RetryAfter != nil && (d < time.Second || d > 24*time.Hour) {
			c.fail(join(path, "retry_after"), "found %v, expected 1s to 24h", span.Text(d))
		}
		for n, text := range m.Allow {
			if _, err := AddressRange(text); err != nil {
				c.fail(join(join(path, "allow"), n), "found %q, expected an address, or a range such as %q", text, "10.0.0.0/8")
			}
		}
		if m.Page != "" {
			c.regular(join(path, "page"), m.Page)
		}
	}
}

// routePaths says which paths of routes may have been meant.
func routePaths(config *transomv1.Config, text string) string {
	var paths []string
	for _, r := range config.Routes {
		paths = append(paths, RoutePath(r.GetMatch()))
	}
	if near := nearest.Of(paths, text); near != "" {
		return "; did you mean " + near + "?"
	}
	return ", such as /shop/**, as `transom routes` shows them"
}

// AddressRange reads an address or a range of them.
func AddressRange(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(text)
}
