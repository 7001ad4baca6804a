package behaviour

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/events/client"
)

// defaultIdle is how long a session goes on without an event.
const defaultIdle = 30 * time.Minute

// Session is the session of a client by the gateway's cookie, and the cookie that it is to get: a new
// one, or the same for longer. Both are empty where no cookie is set: by the settings, or as the
// client does not want to be known, or has not consented.
func (c *Collector) Session(h http.Header, secure bool) (session string, cookie *http.Cookie) {
	rule := c.Config.GetSession()
	if rule.GetCookie() == "" || client.OptedOut(h, c.Config.GetHonorDnt()) || client.Anonymous(h) || !c.consents(h) {
		return "", nil
	}
	for _, line := range h["Cookie"] {
		cookies, _ := http.ParseCookie(line)
		for _, one := range cookies {
			if one.Name == rule.GetCookie() && isSession(one.Value) {
				session = one.Value
			}
		}
	}
	if session == "" {
		session = rand.Text()
	}
	idle := rule.GetIdle().AsDuration()
	if idle == 0 {
		idle = defaultIdle
	}
	cookie = &http.Cookie{Name: rule.GetCookie(), Value: session, Path: "/", MaxAge: int(idle / time.Second), HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
	return session, cookie
}

// isSession reports whether an id is one of those that the gateway makes.
func isSession(id string) bool {
	if len(id) != 26 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !(c >= 'A' && c <= 'Z' || c >= '2' && c <= '7') {
			return false
		}
	}
	return true
}
