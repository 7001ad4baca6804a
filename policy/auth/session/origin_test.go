package session_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/login"
	"github.com/transom-gateway/transom/policy/auth/session"
	"github.com/transom-gateway/transom/policy/auth/token"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// authKinds are those of sessions alone: what stands before all policies refuses the pages
// of other origins to WebSockets already.
func authKinds() []policy.Kind {
	return []policy.Kind{auth.Callers(token.Mechanism(), session.Mechanism()), auth.Authorize(), login.Login(), login.Logout()}
}

func TestOtherSitesCannotUseSessions(t *testing.T) {
	config := &transomv1.Config{Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{TrustedOrigins: []string{"https://app.test"}}}}
	b := policytest.NewAuthBench(t, config, authKinds()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	cookie := s.LogIn(t, policytest.AdaReply)
	for _, test := range []struct {
		name, method, site, origin string
		socket                     bool
		want                       codes.Code
	}{
		{"no browser", "POST", "", "", false, codes.OK},
		{"same origin", "POST", "same-origin", "https://books.test", false, codes.OK},
		{"typed in", "POST", "none", "", false, codes.OK},
		{"another site", "POST", "cross-site", "https://evil.test", false, codes.PermissionDenied},
		{"another site, DELETE", "DELETE", "cross-site", "https://evil.test", false, codes.PermissionDenied},
		{"a sister site", "POST", "same-site", "https://evil.books.test", false, codes.PermissionDenied},
		{"an old browser, another site", "POST", "", "https://evil.test", false, codes.PermissionDenied},
		{"an old browser, same origin", "POST", "", "https://books.test", false, codes.OK},
		{"an old browser, the host in cleartext", "POST", "", "http://books.test", false, codes.PermissionDenied},
		{"an old browser, another scheme", "POST", "", "ftp://books.test", false, codes.PermissionDenied},
		{"an old browser, another port", "POST", "", "https://books.test:8443", false, codes.PermissionDenied},
		{"origin null", "POST", "", "null", false, codes.PermissionDenied},
		{"a trusted origin", "POST", "cross-site", "https://app.test", false, codes.OK},
		{"a link", "GET", "cross-site", "", false, codes.OK},
		{"a WebSocket of another site", "GET", "cross-site", "https://evil.test", true, codes.PermissionDenied},
		{"a WebSocket, old browser", "GET", "", "https://evil.test", true, codes.PermissionDenied},
		{"a WebSocket, same origin", "GET", "same-origin", "https://books.test", true, codes.OK},
		{"a WebSocket, the host in cleartext", "GET", "", "http://books.test", true, codes.PermissionDenied},
		{"a WebSocket, trusted origin", "GET", "cross-site", "https://app.test", true, codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			edit := func(r *policy.Request) *policy.Request {
				r.HTTP.Method, r.WebSocket = test.method, test.socket
				for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
					if value != "" {
						r.HTTP.Header.Set(name, value)
					}
				}
				return r
			}
			policytest.WantCode(t, policytest.LetIn(s.Call, edit(policytest.WithCookies(cookie))), test.want)
			login := test.want // a forced login
			if test.socket {
				login = codes.FailedPrecondition // of any site: see TestLoginByWebSocket
			}
			policytest.WantCode(t, policytest.LetIn(s.Login, edit(policytest.NewCall(nil))), login)
			policytest.WantCode(t, policytest.LetIn(s.Logout, edit(policytest.WithCookies(cookie))), test.want)
		})
	}
}

// TestSchemeOfOrigin: a page that came in cleartext, which anybody on the way can have
// written, is of another origin than a request by TLS; where a request came in
// cleartext, a proxy may have decrypted it (Semantics 309).
func TestSchemeOfOrigin(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}}}, authKinds()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	cookie := s.LogIn(t, policytest.AdaReply)
	for _, by := range []struct {
		name, scheme string
		tls          bool
		cleartext    codes.Code // for a page that came in cleartext
	}{
		{"TLS", "", true, codes.PermissionDenied},
		{"TLS, by a proxy that says so", "https", false, codes.PermissionDenied},
		{"cleartext", "", false, codes.OK},
		{"cleartext, by a proxy that says so", "http", true, codes.OK},
	} {
		t.Run(by.name, func(t *testing.T) {
			for origins, want := range map[string]codes.Code{
				"https://books.test": codes.OK, "http://books.test": by.cleartext, "ftp://books.test": codes.PermissionDenied,
				"https://books.test https://books.test": codes.PermissionDenied,
			} {
				for _, socket := range []bool{false, true} {
					r := policytest.WithCookies(cookie)
					if r.WebSocket, r.Scheme = socket, by.scheme; !by.tls {
						r.HTTP.TLS = nil
					}
					r.HTTP.Header["Origin"] = strings.Fields(origins)
					if got := status.Code(policytest.LetIn(s.Call, r)); got != want {
						t.Errorf("a page of %s is answered %s, want %s (WebSocket: %v)", origins, got, want, socket)
					}
				}
			}
		})
	}
}
