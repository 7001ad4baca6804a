package cache

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// expect compares what calls were answered.
func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHit: Traffic 112 and 114: an answer is kept for its time, by method and request.
func TestHit(t *testing.T) {
	b, s := newBench(t), saying()
	m := b.method("Get", `cache { ttl { seconds: 60 } }`, s)
	other := b.method("Other", `cache { ttl { seconds: 60 } }`, s)
	expect(t, m.get("a")+m.get("a")+m.get("b")+m.get("b")+other.get("a"), "11223")
	long := strings.Repeat("x", 1000)
	expect(t, m.get(long)+m.get(long)+m.get(long+"x"), "445")
	b.clock.Advance(minute - 1)
	expect(t, m.get("a"), "1")
	b.clock.Advance(1)
	expect(t, m.get("a"), "6")
}

// TestCanonicalRequests: Traffic 113: the same request in another order is the same.
func TestCanonicalRequests(t *testing.T) {
	b, s := newBench(t), saying()
	m := b.method("Get", `cache { ttl { seconds: 60 } }`, s)
	n := []byte{2 << 3, 7}
	r := func() *policy.Request { return policytest.Request("192.0.2.1") }
	ctx := context.Background()
	expect(t, m.call(ctx, r(), bytes.Join([][]byte{ask("a"), n}, nil))+m.call(ctx, r(), bytes.Join([][]byte{n, ask("a")}, nil)), "11")
	expect(t, m.call(ctx, r(), []byte{0xff}), "2") // no message: the backend says so
	expect(t, m.call(ctx, r(), []byte{0xff}), "3")
}

// TestFreshness: Traffic 117: what an answer says comes before the policy's ttl.
func TestFreshness(t *testing.T) {
	for _, test := range []struct {
		says string // pairs, by "|"
		kept time.Duration
	}{
		{"", minute},
		{"cache-control|max-age=5", 5 * time.Second},
		{"cache-control|max-age=5, s-maxage=9", 9 * time.Second},
		{"cache-control|max-age=0", 0},
		{"cache-control|no-store", 0},
		{"cache-control|no-store; max-age=60", 0},
		{"cache-control|max-age=60; no-store", 0},
		{"cache-control|no-cache", 0},
		{"cache-control|private, max-age=5", 0},
		{"cache-control|public", minute},
		{"vary|*", 0},
		{"set-cookie|a=b", 0},
		{"cache-control|max-age=30|age|20", 10 * time.Second},
	} {
		t.Run("Traffic 117: "+test.says, func(t *testing.T) {
			b, s := newBench(t), saying(strings.Split(test.says, "|")...)
			if test.says == "" {
				s = saying()
			}
			m := b.method("Get", `cache { ttl { seconds: 60 } }`, s)
			m.get("a")
			if test.kept > 0 {
				b.clock.Advance(test.kept - 1)
				expect(t, m.get("a"), "1")
			}
			b.clock.Advance(1)
			expect(t, m.get("a"), "2")
		})
	}
	t.Run("neither is said", func(t *testing.T) {
		m := newBench(t).method("Get", `cache {}`, saying())
		expect(t, m.get("a")+m.get("a"), "12")
	})
}

// TestVary: Traffic 117: the names of vary are part of the key, the policy's and the
// answer's.
func TestVary(t *testing.T) {
	b := newBench(t)
	m := b.method("Get", `cache { ttl { seconds: 60 } vary: "accept-language" }`, saying("vary", "X-Tenant, accept-language"))
	expect(t, m.get("a", "Accept-Language: de")+m.get("a", "Accept-Language: fr")+m.get("a", "Accept-Language: de"), "121")
	expect(t, m.get("a", "Accept-Language: de", "X-Tenant: 1")+m.get("a", "Accept-Language: de", "X-Tenant: 2"), "34")
	expect(t, m.get("a", "Accept-Language: de", "X-Tenant: 1")+m.get("a", "Accept-Language: de"), "31")
	// A field that is there and empty is another one than none: backends may tell them apart.
	empty := policytest.Request("192.0.2.1", "X-Tenant: ")
	empty.Metadata.Set("x-tenant", "")
	expect(t, m.get("b")+m.call(context.Background(), empty, ask("b"))+m.get("b"), "565")
	// What the backend gets counts, whoever wrote it.
	r := policytest.Request("192.0.2.1", "Accept-Language: de")
	r.Metadata.Set("x-tenant", "1")
	expect(t, m.call(context.Background(), r, ask("a")), "7")
}

// TestScope: Traffic 116: an answer never crosses from one principal to another.
func TestScope(t *testing.T) {
	ctx := context.Background()
	t.Run("each principal has its own", func(t *testing.T) {
		m := newBench(t).method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, saying("cache-control", "public, max-age=60"))
		expect(t, m.call(ctx, as("ada"), ask("a"))+m.call(ctx, as("eve"), ask("a"))+m.call(ctx, as("ada"), ask("a")), "121")
		less := as("ada", func(id *policy.Identity) { id.Scopes = []string{"read"} })
		expect(t, m.call(ctx, less, ask("a")), "3")
		claims := as("ada")
		claims.Metadata.Set("x-transom-claim-org", "acme")
		expect(t, m.call(ctx, claims, ask("a")), "4")
		unseen := as("ada")
		unseen.Unverified = true
		expect(t, m.call(ctx, unseen, ask("a")), "5")
		withCookie := as("ada", func(id *policy.Identity) { id.Mechanism = "mtls" })
		withCookie.HTTP.Header.Set("Cookie", "user=bob")
		expect(t, m.call(ctx, withCookie, ask("a")), "6")
		of := func(issuer string) *policy.Request {
			return as("ada", func(id *policy.Identity) { id.Claims = map[string]any{"iss": issuer} })
		}
		expect(t, m.call(ctx, of("one"), ask("a"))+m.call(ctx, of("two"), ask("a"))+m.call(ctx, of("one"), ask("a")), "787")
	})
	for _, test := range []struct{ policy, says, want string }{
		{`auth { jwt {} } cache { scope: PUBLIC }`, "max-age=60", "12"},
		{`auth { jwt {} } cache { scope: PUBLIC }`, "public, max-age=60", "11"},
		{`auth { jwt {} } cache { scope: PUBLIC }`, "s-maxage=60", "11"},
		{`auth { jwt {} } cache { scope: PUBLIC }`, "must-revalidate, max-age=60", "11"},
		{`auth { jwt {} } cache { scope: PUBLIC ttl { seconds: 60 } }`, "max-age=60", "11"},
		{`auth { jwt {} } cache { scope: PUBLIC ttl { seconds: 60 } }`, "private, max-age=60", "12"},
		{`cache { ttl { seconds: 60 } }`, "public, max-age=60", "12"},
		{`cache { scope: PUBLIC }`, "public, max-age=60", "11"},
		{`cache { scope: PUBLIC }`, "max-age=60", "12"},
	} {
		t.Run("Traffic 116: "+test.policy+" "+test.says, func(t *testing.T) {
			m := newBench(t).method("Get", test.policy, saying("cache-control", test.says))
			expect(t, m.call(ctx, as("ada"), ask("a"))+m.call(ctx, as("eve"), ask("a")), test.want)
		})
	}
	t.Run("a cookie without auth", func(t *testing.T) {
		b := newBench(t)
		b.Authorization = []string{"grpcgateway-authorization"}
		m := b.method("Get", `cache { ttl { seconds: 60 } }`, saying())
		expect(t, m.get("a")+m.get("a", "Cookie: a=b")+m.get("a"), "121")
		expect(t, m.get("b", "Grpc-Metadata-Cookie: a=b")+m.get("b")+m.get("b", "Grpc-Metadata-Cookie: a=c")+m.get("b"), "3454")
		expect(t, m.get("c", "Grpc-Metadata-Grpcgateway-Cookie: a=b")+m.get("c")+m.get("c", "Grpcgateway-Cookie: a=b"), "678")
	})
	t.Run("a cookie of a caller with a certificate", func(t *testing.T) {
		m := newBench(t).method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, saying())
		service := func(cookie string) *policy.Request {
			r := as("books", func(id *policy.Identity) { id.Mechanism = "mtls" })
			r.HTTP.Header.Set("Grpc-Metadata-Cookie", cookie)
			return r
		}
		expect(t, m.call(ctx, service("user=ada"), ask("a"))+m.call(ctx, service("user=bob"), ask("a")), "12")
	})
	t.Run("another claim names callers", func(t *testing.T) {
		b, s := newBench(t), saying()
		token := func() *policy.Request {
			return as("ada", func(id *policy.Identity) { id.Claims = map[string]any{"iss": "one"} })
		}
		said := ""
		for _, claim := range []string{"", "sub", "email"} {
			b.Config.Auth = &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{{Issuer: "one", PrincipalClaim: claim}}}
			said += b.method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, s).call(ctx, token(), ask("a"))
		}
		expect(t, said, "112")
	})
}

// TestCertificates: Traffic 116: where backends are told of the client's certificate, that is a
// credential, which a backend may look at: the answer is for nobody else.
func TestCertificates(t *testing.T) {
	ctx := context.Background()
	with := func(serial int64) *policy.Request {
		r := policytest.Request("192.0.2.1")
		leaf := &x509.Certificate{SerialNumber: big.NewInt(serial), Raw: []byte{byte(serial)}}
		r.HTTP.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
		return r
	}
	for _, test := range []struct {
		forward      transomv1.Config_ForwardClientCert
		policy, says string
		want         string // of two clients with certificates, and of two without
	}{
		{transomv1.Config_FORWARD_CLIENT_CERT_UNSPECIFIED, `cache { ttl { seconds: 60 } }`, "", "1111"},
		{transomv1.Config_NEVER, `cache { ttl { seconds: 60 } }`, "", "1111"},
		{transomv1.Config_DETAILS, `cache { ttl { seconds: 60 } }`, "", "1233"},
		{transomv1.Config_CERTIFICATE, `cache { ttl { seconds: 60 } }`, "public, max-age=60", "1233"},
		{transomv1.Config_DETAILS, `cache { scope: PUBLIC }`, "max-age=60", "1233"},
		{transomv1.Config_DETAILS, `cache { scope: PUBLIC }`, "public, max-age=60", "1122"},
		{transomv1.Config_DETAILS, `cache { scope: PUBLIC ttl { seconds: 60 } }`, "max-age=60", "1122"},
	} {
		t.Run(fmt.Sprint("Traffic 116: ", test.forward, " ", test.policy, " ", test.says), func(t *testing.T) {
			b, s := newBench(t), saying()
			if test.says != "" {
				s = saying("cache-control", test.says)
			}
			b.Config.ForwardClientCert = test.forward
			m := b.method("Get", test.policy, s)
			expect(t, m.call(ctx, with(1), ask("a"))+m.call(ctx, with(2), ask("a"))+m.get("a")+m.get("a"), test.want)
		})
	}
	for forward, want := range map[transomv1.Config_ForwardClientCert]string{transomv1.Config_NEVER: "1111", transomv1.Config_DETAILS: "1213"} {
		t.Run(fmt.Sprint("Traffic 116: one principal with certificates: ", forward), func(t *testing.T) {
			b := newBench(t)
			b.Config.ForwardClientCert = forward
			m := b.method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, saying())
			got := ""
			for _, serial := range []int64{1, 2, 1, 0} {
				r := as("ada")
				if serial > 0 {
					r.HTTP.TLS = with(serial).HTTP.TLS
				}
				got += m.call(ctx, r, ask("a"))
			}
			expect(t, got, want)
		})
	}
}

// TestErrors: Traffic 112: only OK is kept, and NOT_FOUND where the policy says so.
func TestErrors(t *testing.T) {
	s := &server{answer: func(_ context.Context, n int, request string) (string, metadata.MD, error) {
		if strings.Contains(request, "gone") {
			return "", nil, failing(codes.NotFound)
		}
		return "", nil, failing(codes.Internal)
	}}
	m := newBench(t).method("Get", `cache { ttl { seconds: 60 } not_found_ttl { seconds: 1 } }`, s)
	expect(t, m.get("gone")+m.get("gone"), "NotFoundNotFound")
	if n := s.count(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	expect(t, m.get("a")+m.get("a"), "InternalInternal")
	if n := s.count(); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}

// TestTrailersOnly: Traffic 117: what an error says of itself holds, too, where all of it came in
// one block, which is the trailer; and a cookie anywhere is for one caller.
func TestTrailersOnly(t *testing.T) {
	for _, test := range []struct {
		err             error
		header, trailer metadata.MD
		calls           int
	}{
		{failing(codes.NotFound), nil, nil, 1},
		{failing(codes.NotFound), nil, metadata.Pairs("cache-control", "no-store"), 2},
		{failing(codes.NotFound), nil, metadata.Pairs("cache-control", "private"), 2},
		{failing(codes.NotFound), nil, metadata.Pairs("vary", "*"), 2},
		{failing(codes.NotFound), nil, metadata.Pairs("set-cookie", "a=b"), 2},
		{failing(codes.NotFound), nil, metadata.Pairs("cache-control", "max-age=0"), 2},
		{failing(codes.NotFound), metadata.Pairs("x", "y"), metadata.Pairs("cache-control", "no-store"), 1},
		{nil, nil, metadata.Pairs("set-cookie", "a=b"), 2},
		{nil, nil, metadata.Pairs("cache-control", "no-store"), 1},
	} {
		t.Run(fmt.Sprint("Traffic 117: ", test.err, " ", test.header, " ", test.trailer), func(t *testing.T) {
			s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) { return "", test.header, test.err }}
			m := newBench(t).method("Get", `cache { ttl { seconds: 60 } not_found_ttl { seconds: 60 } }`, &trailing{s, test.trailer})
			m.get("a")
			m.get("a")
			if n := s.count(); n != test.calls {
				t.Errorf("%d calls, want %d", n, test.calls)
			}
		})
	}
}

// trailing is a backend whose answers have a trailer.
type trailing struct {
	proxy.Backend
	trailer metadata.MD
}

// Call implements proxy.Backend.
func (b *trailing) Call(ctx context.Context, path string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	reply, err := b.Backend.Call(ctx, path, header, request)
	reply.Trailer = b.trailer
	return reply, err
}

// TestClientDirectives: Traffic 118: what a client says of caches is heeded where the policy
// has it so.
func TestClientDirectives(t *testing.T) {
	m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, saying())
	expect(t, m.get("a")+m.get("a", "Cache-Control: no-cache")+m.get("a", "Cache-Control: no-store")+m.get("b", "Cache-Control: only-if-cached"), "1112")
	b := newBench(t)
	m = b.method("Get", `cache { ttl { seconds: 60 } obey_client: true }`, saying())
	expect(t, m.get("a")+m.get("a", "Cache-Control: no-cache")+m.get("a"), "122")
	expect(t, m.get("a", "Cache-Control: no-store")+m.get("a"), "32")
	b.clock.Advance(10 * time.Second)
	expect(t, m.get("a", "Cache-Control: max-age=10")+m.get("a", "Cache-Control: max-age=9")+m.get("a", "Cache-Control: min-fresh=60"), "244")
	expect(t, m.get("a", "Cache-Control: only-if-cached"), "4")
	_, err := m.reply(context.Background(), policytest.Request("192.0.2.1", "Cache-Control: only-if-cached"), ask("new"))
	if own, ok := err.(interface{ HTTPStatus() int }); !ok || own.HTTPStatus() != 504 {
		t.Errorf("only-if-cached: %v", err)
	}
}

// TestStaleIfError: Traffic 126: a stale answer stands in where the backend fails.
func TestStaleIfError(t *testing.T) {
	code, says := codes.OK, ""
	s := &server{answer: func(_ context.Context, n int, _ string) (string, metadata.MD, error) {
		if code != codes.OK {
			return "", nil, failing(code)
		}
		return fmt.Sprint(n), metadata.Pairs("cache-control", says), nil
	}}
	for _, test := range []struct {
		says, want string
		code       codes.Code
	}{
		{"", "1", codes.Unavailable}, {"", "1", codes.DeadlineExceeded}, {"", "Internal", codes.Internal},
		{"max-age=60, must-revalidate", "Unavailable", codes.Unavailable},
		{"max-age=60, stale-if-error=5", "Unavailable", codes.Unavailable},
	} {
		t.Run("Traffic 126: "+test.says+" "+test.code.String(), func(t *testing.T) {
			b := newBench(t)
			s.calls, code, says = 0, codes.OK, test.says
			m := b.method("Get", `cache { ttl { seconds: 60 } stale_if_error { seconds: 30 } }`, s)
			expect(t, m.get("a"), "1")
			b.clock.Advance(minute + 10*time.Second)
			code = test.code
			r := policytest.Request("192.0.2.1")
			expect(t, m.call(context.Background(), r, ask("a")), test.want)
			if test.want == "1" && r.Cache.Result != "stale" {
				t.Errorf("%+v", r.Cache)
			}
			b.clock.Advance(20 * time.Second)
			expect(t, m.get("a"), code.String())
		})
	}
}

// TestInvalidation: Traffic 127: a write drops what it is about before it is answered.
func TestInvalidation(t *testing.T) {
	b, s, fail := newBench(t), saying(), false
	writes := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
		if fail {
			return "", nil, failing(codes.Aborted)
		}
		return "", nil, nil
	}}
	get := b.method("Get", `cache { ttl { seconds: 60 } tags: "shelf:{name}" tags: "all" }`, s)
	put := b.method("Put", `cache { invalidates: "shelf:{name}" }`, writes)
	expect(t, get.get("a")+get.get("b")+get.get("a"), "121")
	put.get("a")
	expect(t, get.get("a")+get.get("b"), "32")
	fail = true
	put.get("a")
	expect(t, get.get("a")+get.get("b"), "32")

	// By what the answer says.
	byAnswer := b.method("Other", `cache { ttl { seconds: 60 } tags: "text:{response.text}" }`, saying())
	expect(t, byAnswer.get("a")+byAnswer.get("b"), "12")
	find := b.method("Put", `cache { invalidates: "text:{name}" }`, saying())
	find.get("2")
	expect(t, byAnswer.get("a")+byAnswer.get("b"), "13")
}

// TestRefused: Traffic 112, 116 and 127: policies that make no sense do not load.
func TestRefused(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct{ method, policy, words string }{
		{"Put", `cache { ttl { seconds: 60 } }`, "cache: t.S/Put may have side effects"},
		{"Put", `cache { ttl { seconds: 60 } invalidates: "a" }`, "cache.ttl: with cache.invalidates"},
		{"Watch", `cache {}`, "cache: it is for unary methods"},
		{"Get", `cache { invalidates: "a" }`, "cache.invalidates: the method has no side effects"},
		{"Get", `cache { scope: PRINCIPAL }`, "cache.scope: found PRINCIPAL, but callers"},
		{"Get", `auth { anonymous {} } cache { scope: PRINCIPAL }`, "cache.scope: found PRINCIPAL, but callers"},
		{"Get", `cache { scope: 7 }`, "cache.scope: found 7"},
		{"Get", `cache { ttl { seconds: -1 } }`, "cache.ttl"},
		{"Get", `cache { ttl { seconds: 31539600 } }`, "cache.ttl: found 8761h, expected a time above 0s and up to 8760h (365 days)"},
		{"Get", `cache { vary: "a b" }`, `cache.vary[0]: found "a b", expected the name of a header`},
		{"Get", `cache { tags: "{nme}" }`, `cache.tags[0]: found "{nme}": t.Ask has no field "nme"`},
		{"Get", `cache { tags: "{name" }`, "is not closed"},
		{"Get", `cache { tags: "name}" }`, "closes nothing"},
		{"Get", `cache { tags: "" }`, "expected 1 to 256 bytes"},
		{"Get", `cache { tags: "{many}" }`, `the field "t.Ask.many" has many values`},
		{"Get", `cache { tags: "{raw}" }`, "is of kind bytes"},
		{"Get", `cache { tags: "{of}" }`, "is of kind message"},
		{"Get", `cache { tags: "{name.x}" }`, "has no fields"},
		{"Get", `cache { tags: "{name}{response.name}" }`, "expected those of one of them"},
		{"Put", `cache { invalidates: "{response.x}" }`, `cache.invalidates[0]: found "{response.x}": t.Told has no field "x"`},
		{"Get", `cache { validators_only: true ttl { seconds: 1 } }`, "cache.ttl: with cache.validators_only"},
	} {
		t.Run(test.policy, func(t *testing.T) {
			b.Method = b.service.Methods().ByName(protoreflect.Name(test.method))
			b.Refused(test.policy, test.words)
		})
	}
	// A method that only drops answers does not need its caller.
	b.Method = b.service.Methods().ByName("Put")
	if set := b.Set(`cache { invalidates: "{name}" }`); len(set.Parts()) != 1 || set.NeedsContext(&policy.Request{}) {
		t.Errorf("%v", set.Parts())
	}
	// What is inherited is left where it cannot hold.
	b.Inherited = true
	for _, name := range []string{"Put", "Watch"} {
		b.Method = b.service.Methods().ByName(protoreflect.Name(name))
		if set := b.Set(`cache { ttl { seconds: 60 } }`); len(set.Parts()) > 0 || set.NeedsContext(&policy.Request{}) {
			t.Errorf("%s has a cache", name)
		}
	}
}
