package behaviour

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
)

// Page is what a browser says of the page that sends a beacon.
type Page struct {
	// Header is that of the request, in Go's canonical form.
	Header http.Header
	// Own is the origin of the gateway, as the browser sees it: "https://api.example".
	Own string
	// Key is the parameter `key` of the query.
	Key string
}

// Admits reports whether a page may send events (Events 190): one of the origins of the settings, or
// of the gateway's own; without the header Origin, one of the same site, or with a write key.
func (c *Collector) Admits(p *Page) bool {
	origins := p.Header["Origin"]
	switch {
	case len(origins) == 1:
		return origins[0] == p.Own || c.origins[origins[0]]
	case len(origins) > 1:
		return false
	}
	switch p.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "same-site":
		return true
	}
	return c.knows(p.Key) || c.knows(p.Header.Get("X-Write-Key"))
}

// knows reports whether a key is one of the write keys. How long that takes tells nothing of them.
func (c *Collector) knows(key string) bool {
	if key == "" {
		return false
	}
	given, found := sha256.Sum256([]byte(key)), 0
	for _, k := range c.WriteKeys {
		known := sha256.Sum256([]byte(k))
		found |= subtle.ConstantTimeCompare(known[:], given[:])
	}
	return found == 1
}
