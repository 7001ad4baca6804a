package httproute

import (
	"net/http"
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
	for _, name := range [...]string{"Location", "Content-Location"} {
		if values := h[name]; len(values) == 1 {
			if mapped := r.mapURL(values[0], seen); mapped != values[0] {
				h[name] = []string{mapped}
			}
		}
	}
	if values := h["Refresh"]; len(values) == 1 {
		if mapped := r.mapRefresh(values[0], seen); mapped != values[0] {
			h["Refresh"] = []string{mapped}
		}
	}
	for i, cookie := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = r.mapCookie(cookie, seen)
	}
}

// mapURL maps a URL whose authority is the server's, or a path.
func (r *Rewrite) mapURL(url string, seen Seen) string {
	if strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "//") {
		return r.mapPath(url)
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return url
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if authority == "" || !sameAuthority(scheme, authority, seen.Server) && !sameAuthority(scheme, authority, seen.Sent) {
		return url
	}
	path := rest[end:]
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	if r.Path == "" {
		if _, ok := cutPrefix(pathOnly(path), r.Add); !ok {
			return url // it is none of this route
		}
	}
	return seen.Scheme + "://" + seen.Host + r.mapPath(path)
}

// mapPath maps a path with what may follow it.
func (r *Rewrite) mapPath(path string) string {
	only := pathOnly(path)
	mapped, _ := r.Back(only)
	return mapped + path[len(only):]
}

// pathOnly is a path without its query and fragment.
func pathOnly(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// sameAuthority compares authorities, where the scheme's own port may be left out.
func sameAuthority(scheme, a, b string) bool {
	port := ":80"
	if strings.EqualFold(scheme, "https") {
		port = ":443"
	}
	return b != "" && strings.EqualFold(strings.TrimSuffix(a, port), strings.TrimSuffix(b, port))
}

// mapRefresh maps the URL of "5; url=/next".
func (r *Rewrite) mapRefresh(value string, seen Seen) string {
	seconds, rest, ok := strings.Cut(value, ";")
	if !ok {
		return value
	}
	name, url, ok := strings.Cut(rest, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "url") {
		return value
	}
	trimmed := strings.TrimSpace(url)
	quote := ""
	if len(trimmed) > 1 && (trimmed[0] == '"' || trimmed[0] == '\'') && trimmed[len(trimmed)-1] == trimmed[0] {
		quote, trimmed = trimmed[:1], trimmed[1:len(trimmed)-1]
	}
	mapped := r.mapURL(trimmed, seen)
	if mapped == trimmed {
		return value
	}
	return seconds + ";" + name + "=" + quote + mapped + quote
}

// mapCookie maps the Path of a cookie and drops a Domain that is the server's; the client
// takes its own host then. Nothing else of the cookie is touched.
func (r *Rewrite) mapCookie(cookie string, seen Seen) string {
	var b strings.Builder
	changed, first := false, true
	for part := range strings.SplitSeq(cookie, ";") {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case first:
		case strings.EqualFold(name, "Path") && strings.HasPrefix(value, "/"):
			if mapped, ok := r.Back(value); ok && mapped != value {
				if value == "/" {
					mapped = strings.TrimSuffix(mapped, "/") // all of the route's paths
				}
				part, changed = " Path="+mapped, true
			}
		case strings.EqualFold(name, "Domain") && seen.isServers(value):
			changed = true
			continue
		}
		if !first {
			b.WriteByte(';')
		}
		b.WriteString(part)
		first = false
	}
	if !changed {
		return cookie
	}
	return b.String()
}

// isServers reports whether the domain of a cookie is the server's host, or one above it, and
// not above the client's.
func (s *Seen) isServers(domain string) bool {
	domain = strings.ToLower(strings.TrimPrefix(domain, "."))
	covers := func(host string) bool {
		host = bareHost(host)
		return host != "" && (host == domain || strings.HasSuffix(host, "."+domain))
	}
	return domain != "" && !covers(s.Host) && (covers(s.Server) || covers(s.Sent))
}
