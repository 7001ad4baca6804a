// Package sharing says who may share a kept answer with whom, for RPCs and plain HTTP routes
// alike (Traffic 116), and writes the parts of keys that hold callers apart.
package sharing

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Scope says who shares the answers of a method or route.
type Scope struct {
	Principal bool // each principal has its own
	Auth      bool // callers prove who they are
	Explicit  bool // PUBLIC was written
	// Declared tells that a ttl was written beside PUBLIC: all answers are for all callers.
	Declared bool
	// OwnCookies names the gateway's own, which no backend sees; nil for none.
	OwnCookies func() []string
	// Certificates tells that backends are told of the client's certificate, which is a
	// credential as Authorization is.
	Certificates bool
	// Status tells that answers say what the cache did.
	Status bool
	// Vary are the request headers that the policy has in every key, in canonical form and sorted.
	Vary []string

	told    []string          // names in the header Vary of answers: those of Vary, and by which else clients say these
	claims  []string          // paths of those that backends are told in headers
	cookies []string          // headers by which clients send cookies, besides Cookie
	named   map[string]string // by which claims issuers name callers, but for "sub"
}

// Of reads the scope of a policy. It refuses one that cannot be in s.
func Of(s *policy.Scope, rule *transomv1.Cache) Scope {
	known := CallersKnown(s)
	c := Scope{
		Principal: known, Auth: known, OwnCookies: s.HiddenCookies, Status: s.Config.GetCache().GetStatusHeader(),
		Vary: vary(s, rule), Certificates: s.Config.GetForwardClientCert() > transomv1.Config_NEVER,
		cookies: cookieHeaders(s), claims: claimsTold(s.Policy.GetHeaders().GetRequest()), named: s.PrincipalClaims(),
	}
	c.told = c.Vary
	if !s.PlainHTTP() {
		c.told = WithMetadata(c.Vary)
	}
	switch rule.GetScope() {
	case transomv1.Cache_SCOPE_UNSPECIFIED:
	case transomv1.Cache_PRINCIPAL:
		if !known {
			of := "method"
			if s.PlainHTTP() {
				of = "route"
			}
			s.Refuse("cache.scope", "cache.scope: found PRINCIPAL, but callers of the %s do not prove who they are: set auth, or scope PUBLIC", of)
		}
	case transomv1.Cache_PUBLIC:
		c.Principal, c.Explicit = false, true
		c.Declared = rule.GetTtl().AsDuration() > 0
	default:
		s.Refuse("cache.scope", "cache.scope: found %d, expected PRINCIPAL or PUBLIC", rule.GetScope())
	}
	return c
}

// WithMetadata are names of headers, and those by which clients may send the same as metadata.
func WithMetadata(names []string) (all []string) {
	for _, name := range names {
		all = append(all, name)
		if prefixed := field.MetadataHeader(name); prefixed != "" {
			all = append(all, prefixed)
		}
	}
	return all
}

// CallersKnown reports whether callers prove who they are.
func CallersKnown(s *policy.Scope) bool {
	switch s.Policy.GetAuth().GetMechanism().(type) {
	case nil, *transomv1.Auth_Anonymous:
		return false
	}
	return true
}

// ResponseHeader implements policy.HeaderChanger.
func (s Scope) ResponseHeader(r *policy.Request, h http.Header) {
	if m := r.HTTP.Method; m == http.MethodGet || m == http.MethodHead {
		for _, name := range s.told {
			field.AddVary(h, name)
		}
	}
	r.TellCaches(h, s.Principal)
	if !r.Cache.Stored && s.ofOne(r) && h["Cache-Control"] == nil {
		h["Cache-Control"] = cachecontrol.Unknown(true)
	}
	if s.Status {
		r.TellStatus(h)
	}
}

// ofOne reports whether an answer may be for its caller alone: a credential came that the gateway has not
// looked at, but the backend may have.
func (s *Scope) ofOne(r *policy.Request) bool {
	if m := r.HTTP.Method; s.Auth || s.Declared || m != http.MethodGet && m != http.MethodHead {
		return false
	}
	return s.sendsCredential(r)
}

// Caller is who may share an answer with whom.
type Caller struct {
	Principal string // "" for all
	// Doubtful tells that a credential came which the gateway has not looked at, or that
	// the caller is known and answers are shared: only what says that it may be is kept.
	Doubtful bool
}

// Caller says whose answers a call may have; ok is false for none.
func (s *Scope) Caller(r *policy.Request) (c Caller, ok bool) {
	switch {
	case s.Principal:
		// A header Authorization that nobody has looked at may name someone else.
		if r.Identity == nil || r.Unverified && len(r.HTTP.Header["Authorization"]) > 0 {
			return c, false
		}
		// A service calls for many users, whom its cookies may name.
		if r.Identity.Mechanism == "mtls" && s.sendsCookies(r.HTTP.Header) {
			return c, false
		}
		return Caller{Principal: r.Identity.Principal}, true
	case s.Auth:
		return Caller{Doubtful: true}, true
	case s.sendsCredential(r):
		return Caller{Doubtful: true}, s.Explicit
	}
	return c, true
}

// sendsCredential reports whether a backend gets something by which it may know a caller whom the
// gateway does not.
func (s *Scope) sendsCredential(r *policy.Request) bool {
	h := r.HTTP.Header
	return len(h["Authorization"]) > 0 || s.sendsCookies(h) || s.Certificates && r.Certificate() != nil
}

// sendsCookies reports whether a backend gets cookies of a client.
func (s *Scope) sendsCookies(h http.Header) bool {
	if s.areOthers(h["Cookie"]) {
		return true
	}
	for _, name := range s.cookies {
		if s.areOthers(h[name]) {
			return true
		}
	}
	return false
}

// areOthers reports whether values hold cookies that are not the gateway's own.
func (s *Scope) areOthers(lines []string) bool {
	return len(lines) > 0 && (s.OwnCookies == nil || field.HasOtherCookies(lines, s.OwnCookies()))
}

// cookieHeaders are the headers, besides Cookie, by which clients send cookies to backends: what is metadata there
// may be sent under a prefix, too, and under that of HTTP's permanent headers, by which some backends know them.
func cookieHeaders(s *policy.Scope) []string {
	if s.PlainHTTP() {
		return nil
	}
	names := []string{field.MetadataPrefix + "Cookie"}
	for _, authorization := range s.Authorization {
		if prefix, ok := strings.CutSuffix(authorization, "authorization"); ok {
			names = append(names, textproto.CanonicalMIMEHeaderKey(prefix+"cookie"), textproto.CanonicalMIMEHeaderKey(field.MetadataPrefix+prefix+"cookie"))
		}
	}
	return names
}

// MayShare reports whether an answer to a caller may be given to others (RFC 9111 3.5).
func (s *Scope) MayShare(control *cachecontrol.Control, c Caller) bool {
	return !c.Doubtful || s.Declared ||
		control.Says(cachecontrol.Public|cachecontrol.SharedMaxAge|cachecontrol.MustRevalidate)
}
