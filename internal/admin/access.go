package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"
)

// Role is what somebody may do.
type Role int

// The roles; each may do what those before it may.
const (
	Nobody Role = iota
	Reader
	Operator
)

// String is the role's name.
func (r Role) String() string { return [...]string{"nobody", "read", "operate"}[r] }

// Token is a bearer token.
type Token struct {
	// Name says whose it is.
	Name string
	// Secret is the token.
	Secret string
	Role   Role
}

// Access says who may look and operate. The zero Access lets everybody in who reaches the
// listener.
type Access struct {
	Tokens []Token
	// Certificates lets those in whose certificate the listener has verified.
	Certificates bool
}

// demands reports whether somebody has to prove who it is.
func (a *Access) demands() bool { return len(a.Tokens) > 0 || a.Certificates }

// of says who sends a request, and what that one may do.
func (a *Access) of(r *http.Request) (who string, role Role) {
	if a.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return "certificate " + r.TLS.VerifiedChains[0][0].Subject.String(), Operator
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var t *Token
	if strings.EqualFold(scheme, "Bearer") {
		t = a.token(strings.TrimSpace(given))
	}
	if t == nil {
		t = a.ofSession(r, time.Now())
	}
	if t != nil {
		return "token " + t.Name, t.Role
	}
	if !a.demands() {
		return "anybody on this machine", Operator
	}
	return "", Nobody
}

// token is the one with the secret; nil for none.
func (a *Access) token(secret string) *Token {
	// All are compared, by hashes, so that the time tells nothing of any.
	sum := sha256.Sum256([]byte(secret))
	var found *Token
	for i := range a.Tokens {
		own := sha256.Sum256([]byte(a.Tokens[i].Secret))
		if subtle.ConstantTimeCompare(sum[:], own[:]) == 1 {
			found = &a.Tokens[i]
		}
	}
	return found
}

// needed is the role that a request needs (Surface 231).
func needed(r *http.Request) Role {
	switch {
	case isOpen(r):
		return Nobody
	case r.URL.Path == "/explain":
		return Reader // a question with a body, which changes nothing
	case strings.HasPrefix(r.URL.Path, "/debug/") || r.URL.Path == "/events/tail" || r.URL.Path == "/events/rejected" || strings.HasPrefix(r.URL.Path, "/events/dead/") || r.Method != http.MethodGet && r.Method != http.MethodHead:
		return Operator
	}
	return Reader
}

// admit lets those in who may do what they ask for.
func (s *server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		need := needed(r)
		if s.isShell(r) {
			need = Nobody
		}
		who, role := s.Access.of(r)
		if role >= need {
			next.ServeHTTP(w, r)
			return
		}
		s.Audit.failed(Entry{Event: "auth_failed", Who: who, From: r.RemoteAddr, What: r.Method + " " + r.URL.Path})
		if role == Nobody {
			w.Header().Set("WWW-Authenticate", `Bearer realm="transom"`)
			http.Error(w, "the admin server needs a token here: send Authorization: Bearer TOKEN, with one of admin.tokens", http.StatusUnauthorized)
			return
		}
		http.Error(w, "found the role "+role.String()+", expected "+need.String()+" for this: use another token", http.StatusForbidden)
	})
}
