package secured_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/secured/securedtest"
	"github.com/transom-gateway/transom/internal/testing/redis"
)

// testSharedSessions logs in at one gateway and out at another: with REDIS_URL
// the same configuration shares sessions and limits.
func testSharedSessions(t *testing.T, bin string) {
	options := securedtest.Options{Bin: bin, Patient: true, Env: []string{"REDIS_URL=" + redistest.Start(t).URL}}
	first, second := securedtest.Start(t, options), securedtest.Start(t, options)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	call := func(stack *securedtest.Stack, method, path, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, stack.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		// A jar sends no Secure cookie without TLS; browsers make an exception of
		// localhost, and so do we.
		secure := &url.URL{Scheme: "https", Host: "localhost"}
		for _, c := range jar.Cookies(secure) {
			r.AddCookie(c)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		jar.SetCookies(secure, response.Cookies())
		return response
	}
	want := func(r *http.Response, status int) {
		t.Helper()
		if r.StatusCode != status {
			t.Errorf("%s %s: %d, want %d", r.Request.Method, r.Request.URL, r.StatusCode, status)
		}
	}
	const login = `{"user":"ada","password":"sawdust-and-glue"}`
	at := call(first, "POST", "/v1/session", login)
	want(at, http.StatusOK)
	want(call(first, "GET", "/v1/me", ""), http.StatusOK)
	want(call(second, "GET", "/v1/me", ""), http.StatusOK)
	also := call(second, "POST", "/v1/session", login)
	want(also, http.StatusOK)
	if one, two := at.Header.Get("RateLimit"), also.Header.Get("RateLimit"); !strings.Contains(one, ";r=9;") || !strings.Contains(two, ";r=8;") {
		t.Errorf("the limits stand at %s and then %s", one, two)
	}
	want(call(second, "POST", "/v1/session:endAll", ""), http.StatusNoContent)
	want(call(first, "GET", "/v1/me", ""), http.StatusUnauthorized)
}
