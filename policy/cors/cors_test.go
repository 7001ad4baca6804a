package cors

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
)

func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		allowed, origin string
		want            bool
	}{
		{"https://example.com", "https://example.com", true},
		{"https://Example.COM:443", "https://example.com", true},
		{"http://localhost:80", "http://localhost", true},
		{"http://localhost:3000", "http://localhost:3000", true},
		{"http://[::1]:3000", "http://[::1]:3000", true},
		{"capacitor://localhost", "capacitor://localhost", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com", "https://example.com.evil.net", false},
		{"https://example.com", "https://evil-example.com", false},
		{"https://example.com", "https://EXAMPLE.com", false}, // no browser writes it so
		{"https://example.com", "null", false},
		{"https://example.com", "", false},
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://a..example.com", false},
		{"https://*.example.com", "https://aexample.com", false},
		{"https://*.example.com", "http://a.example.com", false},
		{"https://*.example.com", "https://evil.net/.example.com", false},
		{"https://*.example.com", "https://evil.net:1@.example.com", false},
		{"https://*.example.com", "https://evil.net?.example.com", false},
		{"https://*.example.com", "https://a.example.com:8443", false},
		{"https://*.example.com:8443", "https://a.example.com:8443", true},
		{"https://*.example.com", "null", false},
		{"null", "null", true},
		{"null", "https://example.com", false},
		{"*", "https://example.com", true},
		{"*", "null", true},
		{"*", "", false},
	} {
		c := corsOf(policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`cors { allowed_origins: "` + test.allowed + `" }`))
		if got := c.AllowsOrigin(test.origin); got != test.want {
			t.Errorf("%s allows %q: %t, want %t", test.allowed, test.origin, got, test.want)
		}
	}
}

func TestCorsOnAnswers(t *testing.T) {
	for _, test := range []struct {
		name, policy, origin string
		want                 map[string]string // "" is absent
	}{
		{"allowed", `allowed_origins: "https://a.example"`, "https://a.example",
			map[string]string{"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Credentials": "", "Vary": "Origin"}},
		{"credentials", `allowed_origins: "https://a.example" allow_credentials: true`, "https://a.example",
			map[string]string{"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Credentials": "true"}},
		{"all", `allowed_origins: "*"`, "https://a.example", map[string]string{"Access-Control-Allow-Origin": "*", "Vary": "Origin"}},
		{"not allowed", `allowed_origins: "https://a.example"`, "https://b.example",
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Expose-Headers": "", "Vary": "Origin"}},
		{"no page", `allowed_origins: "https://a.example"`, "", map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"null is not reflected", `allowed_origins: "https://a.example"`, "null", map[string]string{"Access-Control-Allow-Origin": ""}},
		{"exposed", `allowed_origins: "*" exposed_headers: "X-Total"`, "https://a.example", map[string]string{"Access-Control-Expose-Headers": "x-total"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`cors { ` + test.policy + ` }`)
			r := policytest.Request("192.0.2.1")
			if test.origin != "" {
				r.HTTP.Header.Set("Origin", test.origin)
			}
			if err := policytest.Admit(s, r); err != nil {
				t.Fatalf("CORS refuses nothing, found %v", err)
			}
			// What a backend says of origins must not stand beside the policy.
			answer := r.ResponseHeader.Clone()
			answer.Add("Access-Control-Allow-Origin", "https://backend.example")
			s.ResponseHeader(r, answer)
			for _, h := range []http.Header{r.ResponseHeader, answer} {
				for name, want := range test.want {
					if got := strings.Join(h.Values(name), " | "); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
			}
		})
	}
}

func TestVaryIsSaidOnce(t *testing.T) {
	for before, want := range map[string]string{
		"": "Origin", "Origin": "Origin", "accept, ORIGIN": "accept, ORIGIN", "*": "*", "Accept": "Accept | Origin",
	} {
		h := http.Header{}
		if before != "" {
			h.Set("Vary", before)
		}
		addVary(h, varyOrigin)
		addVary(h, varyOrigin)
		if got := strings.Join(h["Vary"], " | "); got != want {
			t.Errorf("Vary: %q became %q, want %q", before, got, want)
		}
	}
	if varyOrigin[0] != "Origin" || len(varyOrigin) != 1 {
		t.Error("an answer changed what all answers share")
	}
}

func preflight(origin, method, names string, more ...string) *http.Request {
	r := httptest.NewRequest(http.MethodOptions, "https://gateway.example/v1/things", nil)
	for name, value := range map[string]string{
		"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": names,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	for _, name := range more {
		r.Header.Set(name, "true")
	}
	return r
}

func TestPreflight(t *testing.T) {
	const private = "Access-Control-Request-Private-Network"
	for _, test := range []struct {
		name, policy string
		request      *http.Request
		want         map[string]string
	}{
		{"allowed", `allowed_origins: "https://a.example"`, preflight("https://a.example", "DELETE", ""), map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "DELETE, GET",
			"Access-Control-Allow-Headers": "", "Access-Control-Max-Age": "600",
			"Vary": "Origin | Access-Control-Request-Method, Access-Control-Request-Headers",
		}},
		{"methods of the policy", `allowed_origins: "*" allowed_methods: "PUT" allowed_methods: "PATCH"`, preflight("https://a.example", "PUT", ""),
			map[string]string{"Access-Control-Allow-Methods": "PUT, PATCH"}},
		{"any method", `allowed_origins: "*" allowed_methods: "*"`, preflight("https://a.example", "PURGE", ""),
			map[string]string{"Access-Control-Allow-Methods": "PURGE"}},
		{"what gRPC-Web sends", `allowed_origins: "*"`, preflight("https://a.example", "POST", "content-type,x-grpc-web,x-user-agent,grpc-timeout"),
			map[string]string{"Access-Control-Allow-Headers": strings.Join(defaultAllowedHeaders, ", ")}},
		{"what Connect sends", `allowed_origins: "*"`, preflight("https://a.example", "POST", "Connect-Protocol-Version, Connect-Timeout-Ms, Content-Type, Authorization"),
			map[string]string{"Access-Control-Allow-Headers": strings.Join(defaultAllowedHeaders, ", ")}},
		{"a header too many", `allowed_origins: "*"`, preflight("https://a.example", "POST", "content-type, x-other"),
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Headers": ""}},
		{"headers of the policy", `allowed_origins: "*" allowed_headers: "X-Other"`, preflight("https://a.example", "POST", "x-other"),
			map[string]string{"Access-Control-Allow-Headers": "x-other"}},
		{"any header", `allowed_origins: "https://a.example" allowed_headers: "*" allow_credentials: true`, preflight("https://a.example", "POST", "x-a,x-b"),
			map[string]string{"Access-Control-Allow-Headers": "x-a,x-b", "Access-Control-Allow-Credentials": "true"}},
		{"any header, but no nonsense", `allowed_origins: "*" allowed_headers: "*"`, preflight("https://a.example", "POST", "x-a,x b"),
			map[string]string{"Access-Control-Allow-Origin": ""}},
		{"too many headers", `allowed_origins: "*" allowed_headers: "*"`, preflight("https://a.example", "POST", strings.Repeat("x,", 5000)),
			map[string]string{"Access-Control-Allow-Origin": ""}},
		{"another origin", `allowed_origins: "https://a.example"`, preflight("https://b.example", "POST", ""),
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "", "Vary": "Origin | Access-Control-Request-Method, Access-Control-Request-Headers"}},
		{"private network", `allowed_origins: "*" allow_private_network: true`, preflight("https://a.example", "POST", "", private),
			map[string]string{"Access-Control-Allow-Private-Network": "true"}},
		{"no private network", `allowed_origins: "*"`, preflight("https://a.example", "POST", "", private),
			map[string]string{"Access-Control-Allow-Private-Network": "", "Access-Control-Allow-Origin": "*"}},
		{"max age", `allowed_origins: "*" max_age { seconds: 5 }`, preflight("https://a.example", "POST", ""),
			map[string]string{"Access-Control-Max-Age": "5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := corsOf(policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`cors { ` + test.policy + ` }`))
			h := http.Header{}
			if !c.Preflight(test.request, h, []string{"DELETE", "GET"}) {
				t.Fatal("a preflight was not taken for one")
			}
			for name, want := range test.want {
				if got := strings.Join(h.Values(name), " | "); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
	c := corsOf(policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`cors { allowed_origins: "*" }`))
	post := preflight("https://a.example", "POST", "")
	post.Method = http.MethodPost
	for name, r := range map[string]*http.Request{
		"no origin": preflight("", "POST", ""), "no method": preflight("https://a.example", "", ""), "a POST": post,
	} {
		if h := (http.Header{}); c.Preflight(r, h, nil) || len(h) > 0 {
			t.Errorf("%s was taken for a preflight", name)
		}
	}
}

func TestCorsSetting(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, Kind())
	if corsOf(b.Set(``)) != nil || corsOf(b.Set(`cors {}`)) != nil {
		t.Error("a method without cors, or with an empty one, has a policy")
	}
	b.Refused(`cors { allow_private_network: true }`, "cors.allowed_origins", "empty")
	b.Refused(`cors { allowed_origins: "*" allowed_origins: "https://a.example" }`, "alone")
	b.Refused(`cors { allowed_origins: "*" allow_credentials: true }`, "cors.allow_credentials")
	b.Refused(`cors { allowed_origins: "null" allow_credentials: true }`, "cors.allow_credentials")
	b.Refused(`cors { allowed_origins: "example.com" }`, "cors.allowed_origins[0]", `"https://example.com"`)
	b.Refused(`cors { allowed_origins: "https://example.com/" }`, `expected "https://example.com"`)
	b.Refused(`cors { allowed_origins: "https://u@example.com" }`, "ends behind the host")
	b.Refused(`cors { allowed_origins: "https://a.*.com" }`, "in front of a domain")
	b.Refused(`cors { allowed_origins: "https://*.com" }`, "top-level")
	b.Refused(`cors { allowed_origins: "https://*" }`, "alone")
	b.Refused(`cors { allowed_origins: "https://*.10.0.0.1" }`, "address")
	b.Refused(`cors { allowed_origins: "https://" }`, "scheme and host")
	b.Refused(`cors { allowed_origins: "*" allowed_methods: "A B" }`, "cors.allowed_methods[0]")
	b.Refused(`cors { allowed_origins: "*" allowed_headers: "" }`, "cors.allowed_headers[0]")
	b.Refused(`cors { allowed_origins: "*" exposed_headers: "a:" }`, "cors.exposed_headers[0]")
	b.Refused(`cors { allowed_origins: "*" max_age { seconds: -1 } }`, "cors.max_age")
	if !slices.IsSorted(defaultAllowedHeaders) || !slices.IsSorted(defaultExposedHeaders) {
		t.Error("the lists of headers are not in order; the Fetch standard wants them so")
	}
}

func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{
		"https://a.example.com", "https://example.com", "https://evil.net/.example.com", "https://a.example.com:443", "null",
		"https://[::1].example.com", "https://a@b.example.com", "https://%61.example.com", "https://a.example.com.", "https://é.example.com",
	} {
		f.Add(seed)
	}
	c := corsOf(policytest.NewBench(f, policy.StateOptions{}, Kind()).Set(`cors { allowed_origins: "https://*.example.com" }`))
	f.Fuzz(func(t *testing.T, origin string) {
		if !c.AllowsOrigin(origin) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
			u.Port() != "" || !strings.HasSuffix(u.Hostname(), ".example.com") {
			t.Errorf("%q is allowed, but names another host: %v, %v", origin, u, err)
		}
	})
}

func FuzzPreflight(f *testing.F) {
	for _, seed := range []string{"", "content-type", "Content-Type, x-other", ",,", "x-a\x00", strings.Repeat("a,", 3000), " \t,authorization\t"} {
		f.Add("POST", seed)
	}
	b := policytest.NewBench(f, policy.StateOptions{}, Kind())
	some := corsOf(b.Set(`cors { allowed_origins: "*" allowed_methods: "*" }`))
	all := corsOf(b.Set(`cors { allowed_origins: "*" allowed_methods: "*" allowed_headers: "*" }`))
	f.Fuzz(func(t *testing.T, method, names string) {
		for _, c := range []*Policy{some, all} {
			r := preflight("https://a.example", "", "")
			r.Header["Access-Control-Request-Method"] = []string{method}
			r.Header["Access-Control-Request-Headers"] = []string{names}
			h := http.Header{}
			if c.Preflight(r, h, nil) != (method != "") {
				t.Errorf("%q is a preflight or not", method)
			}
			for name, values := range h {
				for _, value := range values {
					if !httpguts.ValidHeaderFieldValue(value) {
						t.Errorf("the answer's %s is %q", name, value)
					}
				}
			}
			if allowed := h.Get("Access-Control-Allow-Headers"); c == some && allowed != "" && allowed != some.headerList[0] {
				t.Errorf("%q got %q", names, allowed)
			}
		}
	})
}

func BenchmarkCors(b *testing.B) {
	s := policytest.NewBench(b, policy.StateOptions{}, Kind()).Set(`cors { allowed_origins: "https://*.example.com" }`)
	r := policytest.Request("192.0.2.1", "Origin: https://a.example.com")
	b.ReportAllocs()
	for b.Loop() {
		clear(r.ResponseHeader)
		if err := policytest.Admit(s, r); err != nil {
			b.Fatal(err)
		}
	}
}

// corsOf finds the policy in a Set; nil for none.
func corsOf(s *policy.Set) *Policy {
	c, _ := policy.Find[*Policy](s)
	return c
}

// TestPagesKnowReplays: Traffic 92: pages of other origins may send Idempotency-Key, and read that an answer is a
// replay, where the policy names no headers of its own.
func TestPagesKnowReplays(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`cors { allowed_origins: "*" }`)
	h := http.Header{}
	if !corsOf(s).Preflight(preflight("https://a.example", "POST", "content-type, idempotency-key"), h, []string{"POST"}) {
		t.Fatal("a preflight was not taken for one")
	}
	if got := h.Get("Access-Control-Allow-Headers"); !strings.Contains(got, "idempotency-key") {
		t.Errorf("let through are %q", got)
	}
	r := policytest.Request("192.0.2.1")
	r.HTTP.Header.Set("Origin", "https://a.example")
	if err := policytest.Admit(s, r); err != nil {
		t.Fatal(err)
	}
	if got := r.ResponseHeader.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "idempotent-replayed") {
		t.Errorf("exposed are %q", got)
	}
}
