package headers

import (
	"crypto/tls"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// caller is a request of somebody known.
// noCookies are the hidden ones of templates that name none.
func noCookies() []string { return nil }

func knownCaller() *policy.Request {
	r := policytest.Request("2001:db8::1", "X-Tag: one", "X-Tag: two", "X-Evil: a\r\nSet-Cookie: b=1\x00")
	r.Identity = &policy.Identity{Principal: "ann", Claims: map[string]any{
		"tenant": "acme", "admin": true, "level": int64(7), "org": map[string]any{"name": "Zoë"}, "list": []any{"a", "b"},
	}}
	return r
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"plain", "plain"},
		{"", ""},
		{"${principal}", "ann"},
		{"${method}", "grpc.testing.TestService/UnaryCall"},
		{"${path}", "/v1/things"},
		{"${client_ip}", "2001:db8::1"},
		{"${request_id}", "req-1"},
		{"${header.x-tag}", "one, two"},
		{"${header.absent}", ""},
		{"${claim.tenant}", "acme"},
		{"${claim.admin}/${claim.level}", "true/7"},
		{"${claim.org.name}", "Zo%C3%AB"},
		{"${claim.list}", `["a","b"]`},
		{"${claim.absent}", ""},
		{"a ${principal} b ${principal} c", "a ann b ann c"},
		{"costs $5, $${principal}, $", "costs $5, ${principal}, $"},
		{"${header.x-evil}", "aSet-Cookie: b=1"},
		{"  ${principal} ", "ann"},
	} {
		parsed, err := parseTemplate(test.text, noCookies)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if got := parsed.expand(knownCaller()); got != test.want {
			t.Errorf("%q gives %q, want %q", test.text, got, test.want)
		}
	}
	anybody := policytest.Request("192.0.2.1")
	for _, text := range []string{"${principal}", "${claim.tenant}"} {
		parsed, _ := parseTemplate(text, noCookies)
		if got := parsed.expand(anybody); got != "" {
			t.Errorf("%q of nobody gives %q", text, got)
		}
	}
}

func TestWrongTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"${principle}":              "did you mean ${principal}?",
		"${Principal}":              "did you mean ${principal}?",
		"${client-ip}":              "did you mean ${client_ip}?",
		"${headers.x-a}":            "did you mean ${header.x-a}?",
		"${claims.a}":               "did you mean ${claim.a}?",
		"${nothing at all}":         "expected one of ${principal}",
		"${}":                       "expected one of ${principal}",
		"${principal":               "without }",
		"${header.}":                "name of a header",
		"${header.X-Transom-Roles}": "any client could forge",
		"${header.a b}":             "name of a header",
		"${header}":                 "name of a header",
		"${claim.}":                 "name of a claim",
		"a\r\nb":                    "control character",
		"Zoë":                       "ASCII",
		"${principal}\x00":          "control character",
		strings.Repeat("x", 9000):   "9000 bytes",
	} {
		if _, err := parseTemplate(text, noCookies); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: found %v, want %q", text, err, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "a${principal}b", "$${x}", "${", "${header.x-evil}", "$$${claim.org.name}", "${claim.}", "$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTemplate(text, noCookies)
		if err != nil {
			return
		}
		value := parsed.expand(knownCaller())
		for _, c := range []byte(value) {
			if (c < ' ' && c != '\t') || c > '~' {
				t.Errorf("%q gives %q, which no header can hold", text, value)
			}
		}
		if !strings.Contains(text, "${") && value != strings.Trim(text, " \t") && len(parsed) > 1 {
			t.Errorf("%q, without a variable, gives %q", text, value)
		}
	})
}

func TestRequestHeaders(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits()).Set(`headers { request {
		remove: "X-Drop"
		set { key: "X-User" value: "${principal}" }
		set { key: "x-nobody" value: "${header.absent}" }
		add { key: "x-tag" value: "three" }
		add { key: "x-empty" value: "${header.absent}" }
	} }`)
	r := knownCaller()
	r.Metadata = proxy.Metadata{"x-drop", "1", "x-user", "forged", "x-user", "twice", "x-nobody", "forged", "x-tag", "one", "x-keep", "k"}
	if err := policytest.Admit(s, r); err != nil {
		t.Fatal(err)
	}
	if want := (proxy.Metadata{"x-tag", "one", "x-keep", "k", "x-user", "ann", "x-tag", "three"}); !reflect.DeepEqual(r.Metadata, want) {
		t.Errorf("the backend gets %q, want %q", r.Metadata, want)
	}
}

// hidingKind keeps a cookie from backends, as kinds with credentials do.
func hidingKind(cookie string) policy.Kind {
	return policy.Kind{Field: "auth", Open: func(g *policy.Generation) { g.HideCookie(cookie) }, Compile: func(*policy.Scope) policy.Part { return nil }}
}

// TestSetHeaderHasNoTwin: what the operator sets or removes goes in every spelling
// of the client's (Semantics 305).
func TestSetHeaderHasNoTwin(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind(), hidingKind("__Host-transom-session")).Set(`headers { request {
		remove: "X-Drop"
		set { key: "X-User" value: "${principal}" }
		set { key: "x-cookie" value: "${header.cookie}" }
		set { key: "x-token" value: "${header.authorization}" }
	} }`)
	r := knownCaller()
	r.HTTP.Header["Cookie"] = []string{"theme=dark; __Host-transom-session=secret"}
	r.HTTP.Header["Authorization"] = []string{"Bearer forged"}
	r.Unverified = true
	r.Metadata = proxy.Metadata{"x_user", "forged", "x.user", "forged", "grpcgateway-x-user", "forged", "x_drop", "1", "x-keep", "k"}
	if err := policytest.Admit(s, r); err != nil {
		t.Fatal(err)
	}
	if want := (proxy.Metadata{"x-keep", "k", "x-user", "ann", "x-cookie", "theme=dark"}); !reflect.DeepEqual(r.Metadata, want) {
		t.Errorf("the backend gets %q, want %q", r.Metadata, want)
	}
}

func TestResponseHeaders(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits()).Set(`headers { response {
		remove: "server"
		set { key: "x-request-id" value: "${request_id}" }
		add { key: "link" value: "<${path}>; rel=self" }
	} }`)
	h := http.Header{"Server": {"x"}, "X-Request-Id": {"other"}, "Link": {"<a>"}, "X-Keep": {"k"}}
	s.ResponseHeader(knownCaller(), h)
	want := http.Header{"X-Request-Id": {"req-1"}, "Link": {"<a>", "</v1/things>; rel=self"}, "X-Keep": {"k"}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("the client gets %q, want %q", h, want)
	}
}

func TestSecurityHeaders(t *testing.T) {
	for _, test := range []struct {
		name, policy  string
		cleartext     bool
		backend, want http.Header
	}{
		{"empty", ``, false, nil, http.Header{
			"X-Frame-Options": {"DENY"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"strict-origin-when-cross-origin"},
		}},
		{"all", `content_security_policy: "default-src 'self'" hsts { include_subdomains: true preload: true } frame_options: "SAMEORIGIN"
			referrer_policy: "no-referrer, same-origin" xss_protection: "0" permissions_policy: "camera=()"`, false, nil, http.Header{
			"Content-Security-Policy": {"default-src 'self'"}, "Strict-Transport-Security": {"max-age=31536000; includeSubDomains; preload"},
			"X-Frame-Options": {"SAMEORIGIN"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"no-referrer, same-origin"},
			"X-Xss-Protection": {"0"}, "Permissions-Policy": {"camera=()"},
		}},
		{"left out", `frame_options: "-" content_type_options: "-" referrer_policy: "-" hsts { max_age { seconds: 60 } }`, false, nil,
			http.Header{"Strict-Transport-Security": {"max-age=60"}}},
		{"no HSTS in cleartext", `frame_options: "-" content_type_options: "-" referrer_policy: "-" hsts {}`, true, nil, http.Header{}},
		{"the backend knows better than a default", ``, false, http.Header{"X-Frame-Options": {"SAMEORIGIN"}}, http.Header{
			"X-Frame-Options": {"SAMEORIGIN"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"strict-origin-when-cross-origin"},
		}},
		{"the operator knows better than the backend", `frame_options: "DENY" content_type_options: "-" referrer_policy: "-"`, false,
			http.Header{"X-Frame-Options": {"SAMEORIGIN"}}, http.Header{"X-Frame-Options": {"DENY"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits()).Set(`headers { security { ` + test.policy + ` } }`)
			r := policytest.Request("192.0.2.1")
			r.HTTP.TLS = &tls.ConnectionState{}
			if test.cleartext {
				r.HTTP.TLS = nil
			}
			h := test.backend
			if h == nil {
				h = http.Header{}
			}
			s.ResponseHeader(r, h)
			if !reflect.DeepEqual(h, test.want) {
				t.Errorf("found %q, want %q", h, test.want)
			}
		})
	}
}

func TestHeadersSetting(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits())
	if len(b.Set(`headers {}`).Parts()) > 0 {
		t.Error("an empty headers policy is a policy")
	}
	if b.Set(`headers { request { remove: "x-a" } }`).ChangesHeader() {
		t.Error("a policy of requests alone costs the answer something")
	}
	b.Refused(`headers { request { set { key: "x-a" value: "${princpal}" } } }`, `headers.request.set["x-a"]`, "did you mean ${principal}?")
	b.Refused(`headers { request { remove: "a b" } }`, "headers.request.remove[0]", "no name of a header")
	b.Refused(`headers { request { set { key: "a!b" value: "x" } } }`, "headers.request.set", "which gRPC cannot carry")
	b.Refused(`headers { request { set { key: "X-Transom-Principal" value: "x" } } }`, "headers.request.set", "only auth may set it")
	b.Refused(`headers { request { remove: "x-transom-principal" } }`, "only auth may set it")
	b.Refused(`headers { request { add { key: "x-Key-Bin" value: "x" } } }`, "headers.request.add", "bytes")
	b.Refused(`headers { request { set { key: "x-a" value: "1" } set { key: "X-A" value: "2" } } }`, "another spelling")
	for _, name := range []string{"Connection", "Content-Length", "content-type", "grpc-status", "Host", "TE", "Transfer-Encoding", "Upgrade"} {
		b.Refused(`headers { response { set { key: "`+name+`" value: "x" } } }`, "headers.response.set", name)
		b.Refused(`headers { request { remove: "`+name+`" } }`, "headers.request.remove[0]", name)
	}
	b.Refused(`headers { security { frame_options: "ALLOW-FROM x" } }`, "headers.security.frame_options", "SAMEORIGIN")
	b.Refused(`headers { security { content_type_options: "sniff" } }`, "headers.security.content_type_options")
	b.Refused(`headers { security { referrer_policy: "strict" } }`, "headers.security.referrer_policy")
	b.Refused(`headers { security { content_security_policy: "a\nb" } }`, "headers.security.content_security_policy")
	b.Refused(`headers { security { hsts { max_age { seconds: -1 } } } }`, "headers.security.hsts.max_age")
	b.Refused(`headers { security { hsts { preload: true } } }`, "headers.security.hsts.preload")
}

func TestHeaderLimit(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits()).Set(`limits { max_header_bytes: 100 }`)
	small := policytest.Request("192.0.2.1", "X-A: "+strings.Repeat("x", 100-len("host: gateway.example\r\nX-A: \r\n")))
	if err := policytest.Admit(s, small); err != nil {
		t.Errorf("a header of 100 bytes: %v", err)
	}
	large := policytest.Request("192.0.2.1", "X-A: "+strings.Repeat("x", 80), "X-B: ")
	err := policytest.Admit(s, large)
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("found %v, want RESOURCE_EXHAUSTED", err)
	}
	var with interface{ HTTPStatus() int }
	if !errors.As(err, &with) || with.HTTPStatus() != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("found %v, want HTTP status 431", err)
	}
	details := status.Convert(err).Details()
	if info, ok := details[0].(*errdetails.ErrorInfo); !ok || info.Reason != "HEADER_TOO_LARGE" {
		t.Errorf("found details %v", details)
	}
	if len(policytest.NewBench(t, policy.StateOptions{}, Kind(), Limits()).Set(`limits { max_body_bytes: 5 }`).Parts()) > 0 {
		t.Error("limits of bodies are a policy; they are the edges' business")
	}
}
