package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ownPath is a path of the gateway's own, such as that of beacons.
var ownPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]{1,100}){1,8}$`)

// Bounds of the lists of events.behaviour.
const (
	maxOrigins   = 1000
	maxWriteKeys = 100
)

// behaviour checks how events of pages and apps are taken.
func (c *checker) behaviour(b *transomv1.Behaviour) {
	const path = "events.behaviour"
	if b == nil {
		return
	}
	for field, p := range map[string]string{"beacon": b.GetBeacon(), "script": b.GetScript()} {
		if p != "" && !ownPath.MatchString(p) {
			c.fail(join(path, field), "found %.100q, expected a path, such as %q: segments of letters, digits, \".\", \"_\", \"~\" and \"-\"", p, map[string]string{"beacon": "/e", "script": "/transom.js"}[field])
		}
	}
	if b.GetBeacon() != "" && b.GetBeacon() == b.GetScript() {
		c.fail(join(path, "script"), "found %q, which is the path of beacons: expected another one, such as %q", b.GetScript(), "/transom.js")
	}
	if b.GetBeacon() == "" {
		for field, set := range map[string]bool{"origins": len(b.GetOrigins()) > 0, "write_keys": len(b.GetWriteKeys()) > 0, "policy": b.GetPolicy() != nil && b.GetScript() == ""} {
			if set {
				c.fail(join(path, field), "it is for beacons alone, and there is no path for them: set %s.beacon, such as %q, or remove it", path, "/e")
			}
		}
	}
	if len(b.GetOrigins()) > maxOrigins {
		c.fail(join(path, "origins"), "found %d, expected at most %d", len(b.GetOrigins()), maxOrigins)
	}
	for i, origin := range b.GetOrigins() {
		if !isOrigin(origin) {
			c.fail(join(join(path, "origins"), i), "found %.100q, expected an origin as browsers write it, such as %q: scheme and host in lower case, a port that is not the scheme's, and nothing else", origin, "https://shop.example")
		}
	}
	if len(b.GetWriteKeys()) > maxWriteKeys {
		c.fail(join(path, "write_keys"), "found %d, expected at most %d", len(b.GetWriteKeys()), maxWriteKeys)
	}
	if i := slices.Index(b.GetWriteKeys(), ""); i >= 0 {
		c.fail(join(join(path, "write_keys"), i), "found no key, expected one")
	}
	for i, name := range b.GetQuery() {
		if plain := strings.TrimSuffix(name, "*"); plain == "" || strings.ContainsAny(plain, "*&=#") {
			c.fail(join(join(path, "query"), i), "found %.100q, expected the name of a parameter, such as %q, or %q", name, "gclid", "utm_*")
		}
	}
	if b.GetDuplicates() == transomv1.Behaviour_REDIS && c.file.Config.GetStores().GetRedis().GetUrl() == "" {
		c.fail(join(path, "duplicates"), "found REDIS, but the configuration has no stores.redis: set its url, or duplicates MEMORY")
	}
	c.consent(join(path, "consent"), b.GetConsent())
	c.visits(join(path, "session"), b.GetSession())
}

func (c *checker) consent(path string, s *transomv1.Consent) {
	switch where := s.GetWhere().(type) {
	case *transomv1.Consent_Cookie:
		if !httpguts.ValidHeaderFieldName(where.Cookie) {
			c.fail(join(path, "cookie"), "found %.100q, expected the name of a cookie", where.Cookie)
		}
	case *transomv1.Consent_Header:
		if !httpguts.ValidHeaderFieldName(where.Header) {
			c.fail(join(path, "header"), "found %.100q, expected the name of a header", where.Header)
		}
	default:
		if s != nil {
			c.fail(path, "expected the cookie or the header that shows the consent: set cookie or header")
		}
	}
}

func (c *checker) visits(path string, s *transomv1.BehaviourSession) {
	if s == nil {
		return
	}
	if !httpguts.ValidHeaderFieldName(s.GetCookie()) {
		c.fail(join(path, "cookie"), "found %.100q, expected the name of a cookie, such as %q", s.GetCookie(), "visit")
	}
	if d := s.GetIdle(); d != nil && d.AsDuration() < 1e9 {
		c.fail(join(path, "idle"), "found %v, expected at least 1s", span.Text(d.AsDuration()))
	}
}

// isOrigin reports whether a text is an origin as browsers write it.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || text != u.Scheme+"://"+u.Host || strings.ContainsAny(u.Host, "*@") {
		return false
	}
	port := u.Port()
	return text == strings.ToLower(text) && !strings.HasSuffix(text, ":") && port != map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
