package cors

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/policy"
)

// origins are the origins that may call, as browsers write them: lower case,
// without the scheme's own port.
type origins struct {
	any   bool
	null  bool
	exact map[string]bool
	below []belowOrigin
}

// belowOrigin is "https://*.example.com": every host below a domain, not the
// domain itself.
type belowOrigin struct {
	scheme string // "https://"
	domain string // ".example.com", with the port
}

// match reports whether an origin is among them. "null", which any page can have
// at will, is let in by name or by "*" only.
func (o *origins) match(origin string) bool {
	if o.any {
		return origin != ""
	}
	if o.exact[origin] {
		return true
	}
	for _, b := range o.below {
		host, ok := strings.CutPrefix(origin, b.scheme)
		if !ok {
			continue
		}
		if name, ok := strings.CutSuffix(host, b.domain); ok && isHostName(name) {
			return true
		}
	}
	return false
}

// isHostName reports whether a name is one or more labels and nothing else, so
// that no part of a URL can hide in it.
func isHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
	}
	return true
}

// corsOrigins compiles the list.
func corsOrigins(s *policy.Scope, list []string) origins {
	o := origins{exact: map[string]bool{}}
	if len(list) == 0 {
		s.Refuse("cors.allowed_origins", `cors.allowed_origins is empty; expected origins such as "https://example.com", or "*"`)
	}
	for i, text := range list {
		path := policy.Index("cors.allowed_origins", i)
		if err := o.add(text); err != nil {
			s.Refuse(path, "%s is %q: %v", path, text, err)
		}
	}
	if o.any && len(list) > 1 {
		s.Refuse("cors.allowed_origins", `cors.allowed_origins has "*" and others; expected "*" alone, for it means all`)
	}
	return o
}

func (o *origins) add(text string) error {
	switch text {
	case "*":
		o.any = true
		return nil
	case "null":
		o.null = true
		o.exact[text] = true
		return nil
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return fmt.Errorf(`expected scheme and host, such as "https://%s"`, strings.Trim(text, "/"))
	}
	if name, ok := strings.CutPrefix(rest, "*."); ok {
		u, err := parseOrigin(scheme + "://" + name)
		if err != nil {
			return err
		}
		if !strings.Contains(u.Hostname(), ".") {
			return errors.New(`expected a domain of two parts or more behind "*.", for a whole top-level domain is everybody`)
		}
		if _, err := netip.ParseAddr(u.Hostname()); err == nil {
			return errors.New(`expected a domain behind "*.", found an address`)
		}
		o.below = append(o.below, belowOrigin{scheme: u.Scheme + "://", domain: "." + u.Host})
		return nil
	}
	u, err := parseOrigin(text)
	if err == nil {
		o.exact[u.Scheme+"://"+u.Host] = true
	}
	return err
}

// parseOrigin parses an origin and gives it the form browsers give it.
func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Host == "" || !httpguts.ValidHostHeader(u.Host) {
		return nil, errors.New(`expected scheme and host, such as "https://example.com"`)
	}
	if strings.Contains(u.Host, "*") {
		return nil, errors.New(`expected "*" alone, or in front of a domain as in "https://*.example.com"`)
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "#") {
		return nil, fmt.Errorf("an origin ends behind the host; expected %q", u.Scheme+"://"+u.Host)
	}
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}
