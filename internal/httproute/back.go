package httproute

import (
	"net/http"
	"net/netip"
	"strings"
)

// Seen is what the server and the client each take for the place of a request.
type Seen struct {
	// Server is the server's own authority, and Sent the Host that it was told.
	Server, Sent string
	// Scheme and Host are those of the client's URL.
	Scheme, Host string
}

// MapBack has a server's answer name places as the client sees them (Traffic 156, 157):
// Location, Content-Location, Refresh, and Path and Domain of cookies. What does not lead
// back to the server through the same route stays as it is.
func (r *Rewrite) MapBack(h http.Header, seen Seen) {
	for _, name := range [...]string{"Location", "Content-Location", "Refresh"} {
		values := h[name]
		if len(values) != 1 {
			continue
		}
		mapped := r.mapURL(values[0], &seen)
		if name == "Refresh" {
			mapped = r.mapRefresh(values[0], &seen)
		}
		if mapped != values[0] {
			h[name] = []string{mapped}
		}
	}
	for i, cookie := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = r.mapCookie(cookie, &seen)
	}
}

// mapURL maps a path, or a URL whose authority is the server's.
func (r *Rewrite) mapURL(url string, seen *Seen) string {
	scheme, rest, ok := strings.Cut(url, "//")
	switch {
	case strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "//"):
		mapped, _ := r.mapPath(url)
		return mapped
	case !ok || scheme != "" && !strings.EqualFold(scheme, "http:") && !strings.EqualFold(scheme, "https:"):
		return url
	}
	end := len(rest)
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		end = i
	}
	authority := rest[:end]
	clients := sameAuthority(scheme, authority, seen.Host)
	switch {
	case clients && *r == Rewrite{}:
		return url
	case !clients && !sameAuthority(scheme, authority, seen.Server) && !sameAuthority(scheme, authority, seen.Sent):
		return url
	}
	path := rest[end:]
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	mapped, ok := r.mapPath(path)
	if !ok && r.Path == "" {
		return url // it is none of this route
	}
	switch {
	case scheme == "":
	case clients && strings.EqualFold(scheme, "https:"):
		scheme = "https:" // a server may send clients there on purpose
	default:
		scheme = seen.Scheme + ":"
	}
	return scheme + "//" + seen.Host + mapped
}

// mapPath maps a path, with what may follow it, and reports whether it is of the route.
func (r *Rewrite) mapPath(path string) (string, bool) {
	end := len(path)
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		end = i
	}
	resolved := path[:end]
	if strings.Contains(resolved, "/.") || strings.Contains(resolved, "%2") {
		resolved = clamp(dots.Replace(resolved)) // as clients do
	}
	mapped, ok := r.Back(resolved)
	if !ok || mapped == resolved {
		return path, ok
	}
	return mapped + path[end:], true
}

var dots = strings.NewReplacer("%2e", ".", "%2E", ".")

// sameAuthority compares authorities, where the scheme's own port may be left out.
func sameAuthority(scheme, a, b string) bool {
	port := ":80"
	switch {
	case a == "" || b == "":
		return false
	case scheme == "":
		return strings.EqualFold(a, b)
	case strings.EqualFold(scheme, "https:"):
		port = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(a, port), strings.TrimSuffix(b, port))
}

// mapRefresh maps the URL of "5; url=/next". Browsers take a comma too, quotes, and a URL
// alone.
func (r *Rewrite) mapRefresh(value string, seen *Seen) string {
	const space = " \t"
	rest := strings.TrimLeft(strings.TrimLeft(value, "0123456789."), space)
	if rest == "" || len(rest) == len(value) {
		return value
	}
	if rest[0] == ';' || rest[0] == ',' {
		rest = strings.TrimLeft(rest[1:], space)
	}
	if len(rest) > 3 && strings.EqualFold(rest[:3], "url") {
		if after := strings.TrimLeft(rest[3:], space); strings.HasPrefix(after, "=") {
			rest = strings.TrimLeft(after[1:], space)
		}
	}
	url := strings.TrimRight(rest, space)
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		url, _, _ = strings.Cut(rest[1:], rest[:1])
		rest = rest[1:]
	}
	return value[:len(value)-len(rest)] + r.mapURL(url, seen) + rest[len(url):]
}

// mapCookie maps the Path of a cookie and drops a Domain that is the server's; the client
// takes its own host then. Nothing else of the cookie is touched.
func (r *Rewrite) mapCookie(cookie string, seen *Seen) string {
	pair, _, ok := strings.Cut(cookie, ";")
	if !ok {
		return cookie
	}
	// Of a cookie with such a name clients take no other path than "/".
	anchored := strings.HasPrefix(strings.ToLower(strings.TrimSpace(pair)), "__host-")
	var b strings.Builder
	b.WriteString(pair)
	for attribute := range strings.SplitSeq(cookie[len(pair)+1:], ";") {
		name, value, _ := strings.Cut(attribute, "=")
		trimmed := strings.TrimSpace(value)
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, "Domain") && seen.isServers(trimmed):
			continue
		case strings.EqualFold(name, "Path") && strings.HasPrefix(trimmed, "/") && !anchored:
			if mapped := r.mapCookiePath(trimmed); mapped != trimmed {
				attribute = attribute[:len(attribute)-len(value)] + mapped
			}
		}
		b.WriteByte(';')
		b.WriteString(attribute)
	}
	return b.String()
}

// mapCookiePath maps the path of a cookie. That of all paths becomes that of all the route's.
func (r *Rewrite) mapCookiePath(path string) string {
	mapped, ok := r.Back(path)
	switch {
	case !ok:
		return path
	case path == "/" && mapped != "/":
		return strings.TrimSuffix(mapped, "/")
	}
	return mapped
}

// isServers reports whether the domain of a cookie is the server's host, or one above it, and
// not above the client's.
func (s *Seen) isServers(domain string) bool {
	domain = lower(strings.TrimPrefix(domain, "."))
	covers := func(host string) bool {
		host = bareHost(host)
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			return host == domain
		}
		return host != "" && (host == domain || strings.HasSuffix(host, "."+domain))
	}
	return domain != "" && !covers(s.Host) && (covers(s.Server) || covers(s.Sent))
}
