package policy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/field"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// sessionBytes is the size of a session's id: nobody guesses 256 bits.
	sessionBytes = 32
	// sessionsPerPrincipal bounds the live sessions of one principal; one more
	// ends the oldest.
	sessionsPerPrincipal = 100

	defaultSessionTTL    = time.Hour
	defaultSessionMaxTTL = 24 * time.Hour
)

// errSessionsAway is what a call gets when sessions cannot be read or written: to
// let it in would be a guess.
var errSessionsAway = StoreAway("sessions cannot be reached at the moment")

// sessionKey is the SHA-256 of a session's id. Stores know no ids: who reads a
// store cannot use what stands there.
type sessionKey [sha256.Size]byte

// session is what is kept of one login.
type session struct {
	Principal string         `json:"p"`
	Roles     []string       `json:"r,omitempty"`
	Claims    map[string]any `json:"c,omitempty"`
	// Ends is when it ends whatever happens, by this gateway's clock. A shared store
	// keeps it by the clock of its own.
	Ends time.Time `json:"-"`

	identity *Identity
	metadata []string
}

// prepare makes what follows from the data: the identity, and what the backend
// is told. The claims of a session are those that login names, so it is told
// all of them.
func (s *session) prepare() {
	s.identity = &Identity{Principal: s.Principal, Roles: s.Roles, Claims: s.Claims, Mechanism: "session"}
	var forward []forwardedClaim
	for _, claim := range slices.Sorted(maps.Keys(s.Claims)) {
		forward = append(forward, forwardAs(claim))
	}
	s.metadata = identityMetadata(s.identity, forward)
}

// sessionStore keeps sessions. It is safe for concurrent use. Errors mean that
// the store cannot be reached.
type sessionStore interface {
	// create keeps a session that ends when it is not used for idle.
	create(ctx context.Context, key sessionKey, s *session, idle time.Duration) error
	// use finds a live session and lets it live for idle from now on, but not
	// beyond its end. Nil: there is none.
	use(ctx context.Context, key sessionKey, idle time.Duration) (*session, error)
	// ended reports for each session whether it has ended. It is no use of them.
	ended(ctx context.Context, keys []sessionKey) ([]bool, error)
	// revoke ends a session, if it is there.
	revoke(ctx context.Context, key sessionKey) error
	// revokeAll ends all sessions of a principal.
	revokeAll(ctx context.Context, principal string) error
}

// sessions is the configuration's auth.session with its store.
type sessions struct {
	store    sessionStore
	cookie   string
	idle     time.Duration
	longest  time.Duration
	sameSite http.SameSite
	insecure bool
	now      func() time.Time
}

// newSessionID makes an id and its key.
func newSessionID() (string, sessionKey) {
	var random [sessionBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it crashes the process instead
	id := base64.RawURLEncoding.EncodeToString(random[:])
	return id, sha256.Sum256([]byte(id))
}

// keyOfSession gives the key of an id that has the form of one.
func keyOfSession(id string) (sessionKey, bool) {
	if len(id) != base64.RawURLEncoding.EncodedLen(sessionBytes) {
		return sessionKey{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(id); err != nil {
		return sessionKey{}, false
	}
	return sha256.Sum256([]byte(id)), true
}

// key finds the session that a request names. sent tells that there is a
// cookie, though it may be none of ours.
func (s *sessions) key(h http.Header) (key sessionKey, sent, ok bool) {
	id, sent := cookieValue(h, s.cookie)
	if !sent {
		return key, false, false
	}
	key, ok = keyOfSession(id)
	return key, true, ok
}

// open begins a session and sets its cookie.
func (s *sessions) open(ctx context.Context, header http.Header, data *session) error {
	id, key := newSessionID()
	data.Ends = s.now().Add(s.longest)
	data.prepare()
	if err := s.store.create(ctx, key, data, s.idle); err != nil {
		return err
	}
	s.setCookie(header, id, int(s.longest/time.Second))
	return nil
}

// setCookie replaces what the answer says of the cookie.
func (s *sessions) setCookie(header http.Header, value string, maxAge int) {
	kept := header["Set-Cookie"][:0]
	for _, line := range header["Set-Cookie"] {
		if !strings.HasPrefix(line, s.cookie+"=") {
			kept = append(kept, line)
		}
	}
	cookie := http.Cookie{Name: s.cookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true,
		Secure: !s.insecure, SameSite: s.sameSite}
	header["Set-Cookie"] = append(kept, cookie.String())
	// An answer that sets a session must not be kept for anybody else.
	header.Set("Cache-Control", "no-store")
}

// sessionsOf are the sessions of a generation.
func sessionsOf(g *Generation) *sessions { return Shared(g, openSessions) }

// openSessions reads the configuration's auth.session.
func openSessions(g *Generation) *sessions {
	config := g.Config.GetAuth().GetSession()
	s := &sessions{cookie: config.GetCookie(), idle: defaultSessionTTL, longest: defaultSessionMaxTTL,
		insecure: config.GetInsecure(), now: g.State.Now}
	originGuardOf(g)
	refuse := func(field string, format string, args ...any) {
		g.RefuseConfig("auth.session."+field, fmt.Errorf(format, args...))
	}
	if s.cookie == "" {
		s.cookie = "__Host-transom-session"
		if s.insecure {
			s.cookie = "transom-session" // browsers take __Host- only with Secure
		}
	}
	if !validCookieName(s.cookie) {
		refuse("cookie", "found %q, expected the name of a cookie (RFC 6265)", s.cookie)
	}
	g.HideCookie(s.cookie)
	if s.insecure && (field.HasPrefixFold(s.cookie, "__Host-") || field.HasPrefixFold(s.cookie, "__Secure-")) {
		refuse("insecure", "browsers refuse the cookie %q without Secure: choose another name, or remove insecure", s.cookie)
	}
	s.readTimes(config, refuse)
	var ok bool
	if s.sameSite, ok = sameSites[config.GetSameSite()]; !ok {
		refuse("same_site", "found %v, expected LAX, STRICT or CROSS_SITE", config.GetSameSite())
	}
	if s.sameSite == http.SameSiteNoneMode && s.insecure {
		refuse("same_site", "browsers refuse a CROSS_SITE cookie without Secure: remove one of same_site and insecure")
	}
	if err := s.openStore(g); err != nil {
		g.RefuseConfig("stores.redis.url", err)
	}
	return s
}

// readTimes reads how long sessions last.
func (s *sessions) readTimes(config *transomv1.SessionConfig, refuse func(field, format string, args ...any)) {
	if config.GetTtl() != nil {
		if s.idle = config.GetTtl().AsDuration(); s.idle < time.Second {
			refuse("ttl", "found %v, expected one second at least", s.idle)
		}
	}
	s.longest = max(s.longest, s.idle)
	if config.GetMaxTtl() != nil {
		if s.longest = config.GetMaxTtl().AsDuration(); s.longest < s.idle {
			refuse("max_ttl", "found %v, expected ttl (%v) at least", s.longest, s.idle)
		}
	}
}

var sameSites = map[transomv1.SessionConfig_SameSite]http.SameSite{
	transomv1.SessionConfig_SAME_SITE_UNSPECIFIED: http.SameSiteLaxMode,
	transomv1.SessionConfig_LAX:                   http.SameSiteLaxMode,
	transomv1.SessionConfig_STRICT:                http.SameSiteStrictMode,
	transomv1.SessionConfig_CROSS_SITE:            http.SameSiteNoneMode,
}

// openStore chooses Redis where the configuration names one. The sessions of this
// process are held in either case: a slip in the configuration must not log
// everybody out.
func (s *sessions) openStore(g *Generation) error {
	memory, err := Lease(g, memorySessionsKey{}, func() (*memorySessions, error) { return newMemorySessions(g.State.Now), nil })
	if err != nil {
		return err
	}
	s.store = memory
	if !hasRedis(g) {
		return nil
	}
	r, err := redisOf(g)
	if err != nil {
		return err
	}
	s.store = &redisSessions{redis: r, now: g.State.Now}
	return nil
}

// memorySessionsKey is the key of this process's sessions in State.
type memorySessionsKey struct{}
