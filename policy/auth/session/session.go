// Package session is auth by sessions: an opaque id in a cookie, and what is known of
// its caller in this process or in Redis.
package session

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
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/store"
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

// ErrAway is what a call gets when sessions cannot be read or written: to
// let it in would be a guess.
var ErrAway = policy.StoreAway("the session cannot be checked at the moment; try again later")

// Key is the SHA-256 of a session's id. Stores know no ids: who reads a
// store cannot use what stands there.
type Key [sha256.Size]byte

// Session is what is kept of one login.
type Session struct {
	Principal string         `json:"p"`
	Roles     []string       `json:"r,omitempty"`
	Claims    map[string]any `json:"c,omitempty"`
	// Ends is when it ends whatever happens, by this gateway's clock. A shared store
	// keeps it by the clock of its own.
	Ends time.Time `json:"-"`

	identity *policy.Identity
	metadata []string
}

// prepare makes what follows from the data: the identity, and what the backend
// is told. The claims of a session are those that login names, so it is told
// all of them.
func (s *Session) prepare() {
	s.identity = &policy.Identity{Principal: s.Principal, Roles: s.Roles, Claims: s.Claims, Mechanism: "session"}
	var forward []auth.ForwardedClaim
	for _, claim := range slices.Sorted(maps.Keys(s.Claims)) {
		forward = append(forward, auth.ForwardAs(claim))
	}
	s.metadata = auth.MetadataOf(s.identity, forward)
}

// Store keeps sessions. It is safe for concurrent use. Errors mean that
// the store cannot be reached.
type Store interface {
	// create keeps a session that ends when it is not used for idle.
	create(ctx context.Context, key Key, s *Session, idle time.Duration) error
	// Use finds a live session and lets it live for idle from now on, but not
	// beyond its end. Nil: there is none.
	Use(ctx context.Context, key Key, idle time.Duration) (*Session, error)
	// ended reports for each session whether it has ended. It is no use of them.
	ended(ctx context.Context, keys []Key) ([]bool, error)
	// Revoke ends a session, if it is there.
	Revoke(ctx context.Context, key Key) error
	// RevokeAll ends all sessions of a principal.
	RevokeAll(ctx context.Context, principal string) error
}

// Sessions is the configuration's auth.session with its store.
type Sessions struct {
	Store    Store
	Cookie   string
	Idle     time.Duration
	longest  time.Duration
	sameSite http.SameSite
	insecure bool
	now      func() time.Time
}

// newID makes an id and its key.
func newID() (string, Key) {
	var random [sessionBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it crashes the process instead
	id := base64.RawURLEncoding.EncodeToString(random[:])
	return id, sha256.Sum256([]byte(id))
}

// keyOf gives the key of an id that has the form of one.
func keyOf(id string) (Key, bool) {
	if len(id) != base64.RawURLEncoding.EncodedLen(sessionBytes) {
		return Key{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(id); err != nil {
		return Key{}, false
	}
	return sha256.Sum256([]byte(id)), true
}

// Key finds the session that a request names. sent tells that there is a
// cookie, though it may be none of ours.
func (s *Sessions) Key(h http.Header) (key Key, sent, ok bool) {
	id, sent := auth.CookieValue(h, s.Cookie)
	if !sent {
		return key, false, false
	}
	key, ok = keyOf(id)
	return key, true, ok
}

// Open begins a session and sets its cookie.
func (s *Sessions) Open(ctx context.Context, header http.Header, data *Session) error {
	id, key := newID()
	data.Ends = s.now().Add(s.longest)
	data.prepare()
	if err := s.Store.create(ctx, key, data, s.Idle); err != nil {
		return err
	}
	s.SetCookie(header, id, int(s.longest/time.Second))
	return nil
}

// SetCookie replaces what the answer says of the cookie.
func (s *Sessions) SetCookie(header http.Header, value string, maxAge int) {
	kept := header["Set-Cookie"][:0]
	for _, line := range header["Set-Cookie"] {
		if !strings.HasPrefix(line, s.Cookie+"=") {
			kept = append(kept, line)
		}
	}
	cookie := http.Cookie{Name: s.Cookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true,
		Secure: !s.insecure, SameSite: s.sameSite}
	header["Set-Cookie"] = append(kept, cookie.String())
	// An answer that sets a session must not be kept for anybody else.
	header.Set("Cache-Control", "no-store")
}

// Of are the sessions of a generation.
func Of(g *policy.Generation) *Sessions { return policy.Shared(g, openSessions) }

// openSessions reads the configuration's auth.session.
func openSessions(g *policy.Generation) *Sessions {
	config := g.Config.GetAuth().GetSession()
	s := &Sessions{Cookie: config.GetCookie(), Idle: defaultSessionTTL, longest: defaultSessionMaxTTL,
		insecure: config.GetInsecure(), now: g.State.Now}
	auth.OriginsOf(g)
	refuse := func(field string, format string, args ...any) {
		g.RefuseConfig("auth.session."+field, fmt.Errorf(format, args...))
	}
	if s.Cookie == "" {
		s.Cookie = "__Host-transom-session"
		if s.insecure {
			s.Cookie = "transom-session" // browsers take __Host- only with Secure
		}
	}
	if !auth.ValidCookieName(s.Cookie) {
		refuse("cookie", "found %q, expected the name of a cookie (RFC 6265)", s.Cookie)
	}
	g.HideCookie(s.Cookie)
	if s.insecure && (field.HasPrefixFold(s.Cookie, "__Host-") || field.HasPrefixFold(s.Cookie, "__Secure-")) {
		refuse("insecure", "browsers refuse the cookie %q without Secure: choose another name, or remove insecure", s.Cookie)
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
		store.Refuse(g, err)
	}
	return s
}

// readTimes reads how long sessions last.
func (s *Sessions) readTimes(config *transomv1.SessionConfig, refuse func(field, format string, args ...any)) {
	if config.GetTtl() != nil {
		if s.Idle = config.GetTtl().AsDuration(); s.Idle < time.Second {
			refuse("ttl", "found %v, expected one second at least", span.Text(s.Idle))
		}
	}
	s.longest = max(s.longest, s.Idle)
	if config.GetMaxTtl() != nil {
		if s.longest = config.GetMaxTtl().AsDuration(); s.longest < s.Idle {
			refuse("max_ttl", "found %s, expected ttl (%s) at least", span.Text(s.longest), span.Text(s.Idle))
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
func (s *Sessions) openStore(g *policy.Generation) error {
	memory, err := policy.Lease(g, memorySessionsKey{}, func() (*memorySessions, error) { return newMemorySessions(g.State.Now), nil })
	if err != nil {
		return err
	}
	s.Store = memory
	if !store.Configured(g) {
		return nil
	}
	r, err := store.Of(g)
	if err != nil {
		return err
	}
	s.Store = &redisSessions{redis: r, now: g.State.Now}
	return nil
}

// memorySessionsKey is the key of this process's sessions in State.
type memorySessionsKey struct{}
