package mtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/mtls"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kinds are those of certificates.
func kinds() []policy.Kind { return []policy.Kind{auth.Callers(mtls.Mechanism()), auth.Authorize()} }

// demand is a policy with auth.mtls.
func demand(from ...transomv1.MtlsAuth_From) *transomv1.Policy {
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Mtls{Mtls: &transomv1.MtlsAuth{From: from}}}}
}

// shown is a call with a certificate, which TLS has verified or not.
func shown(c *x509.Certificate, verified bool) *policy.Request {
	return policytest.NewCall(func(r *policy.Request) {
		r.HTTP.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
		if verified {
			r.HTTP.TLS.VerifiedChains = [][]*x509.Certificate{{c}}
		}
	})
}

func uris(t *testing.T, texts ...string) (all []*url.URL) {
	t.Helper()
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// many are names of a host.
func many(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%d.books.test", i)
	}
	return all
}

// TestPrincipal: Traffic 185: the principal is the first URI, else the first DNS name, else the common name,
// or what from says; a name that can be nobody's lets nobody in, though another name is there.
func TestPrincipal(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds()...)
	sets := map[string]*policy.Set{
		"": b.Set(t, demand()), "cn": b.Set(t, demand(transomv1.MtlsAuth_COMMON_NAME)),
		"dns, uri": b.Set(t, demand(transomv1.MtlsAuth_DNS_SAN, transomv1.MtlsAuth_URI_SAN)),
	}
	cn := func(name string) x509.Certificate { return x509.Certificate{Subject: pkix.Name{CommonName: name}} }
	all := x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, DNSNames: []string{"a.test", "b.test"}, URIs: uris(t, "spiffe://t/ada", "spiffe://t/bob")}
	for name, test := range map[string]struct {
		set  string
		cert x509.Certificate
		want string // the principal, or behind "!" a part of the refusal
	}{
		"a URI":                    {"", all, "spiffe://t/ada"},
		"a DNS name":               {"", x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, DNSNames: []string{"a.test"}}, "a.test"},
		"a common name":            {"", cn("ada"), "ada"},
		"a common name alone":      {"cn", all, "ada"},
		"a DNS name before a URI":  {"dns, uri", all, "a.test"},
		"a URI after no DNS name":  {"dns, uri", x509.Certificate{URIs: uris(t, "spiffe://t/ada")}, "spiffe://t/ada"},
		"no name":                  {"", x509.Certificate{}, "!names nobody"},
		"no name of those":         {"dns, uri", cn("ada"), "!names nobody"},
		"an organization":          {"", x509.Certificate{Subject: pkix.Name{Organization: []string{"ada"}}}, "!names nobody"},
		"1,000 names":              {"", x509.Certificate{DNSNames: many(1000)}, "0.books.test"},
		"a line end":               {"", cn("ada\nx-transom-principal: eve"), "!holds what no name may"},
		"a zero":                   {"", cn("ada\x00.test"), "!holds what no name may"},
		"no UTF-8":                 {"", cn("ada\xff"), "!holds what no name may"},
		"a C1 control":             {"", cn("ada\u0085"), "!holds what no name may"},
		"a bad name before a good": {"", x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, DNSNames: []string{"a\x00b"}}, "!holds what no name may"},
		"as long as a SPIFFE ID":   {"", cn(strings.Repeat("a", 2048)), strings.Repeat("a", 2048)},
		"longer":                   {"", cn(strings.Repeat("a", 2049)), "!too long"},
		"letters of others":        {"", cn("Çağla"), "Çağla"},
		"a subscription's":         {"", cn("subscription:orders"), "!the credentials are not valid"},
	} {
		test.cert.NotAfter = policytest.Noon.Add(time.Minute)
		r := shown(&test.cert, true)
		err := policytest.LetIn(sets[test.set], r)
		if want, refused := strings.CutPrefix(test.want, "!"); refused {
			if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), want) || r.Identity != nil || r.Metadata.Get("x-transom-principal") != "" {
				t.Errorf("%s: %v, identity %v, want %s", name, err, r.Identity, want)
			}
			continue
		}
		if err != nil || r.Identity == nil || r.Identity.Principal != test.want || r.Identity.Mechanism != "mtls" || r.Metadata.Get("x-transom-principal") == "" {
			t.Errorf("%s: %v, identity %+v, want %s", name, err, r.Identity, test.want)
		}
	}
}

// TestNotShown: Traffic 185: a certificate that TLS has not verified is none, and one that has expired
// since the connection began is of no use.
func TestNotShown(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds()...)
	set := b.Set(t, demand())
	ada := &x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, NotAfter: policytest.Noon.Add(time.Minute)}
	cross := shown(ada, true)
	cross.HTTP.Header.Set("Sec-Fetch-Site", "cross-site")
	for name, test := range map[string]struct {
		r    *policy.Request
		wait time.Duration
		code codes.Code
		want string
	}{
		"cleartext":      {policytest.NewCall(nil), 0, codes.Unauthenticated, "needs a client certificate"},
		"no certificate": {policytest.NewCall(func(r *policy.Request) { r.HTTP.TLS = &tls.ConnectionState{} }), 0, codes.Unauthenticated, "needs a client certificate"},
		"not verified":   {shown(ada, false), 0, codes.Unauthenticated, "needs a client certificate"},
		"another site":   {cross, 0, codes.PermissionDenied, "another site"},
		"expired":        {shown(&x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, NotAfter: policytest.Noon.Add(-time.Second)}, true), 0, codes.Unauthenticated, "has expired"},
	} {
		err := policytest.LetIn(set, test.r)
		if status.Code(err) != test.code || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if got := test.r.ResponseHeader.Get("WWW-Authenticate"); test.code == codes.Unauthenticated && got != `Certificate realm="transom"` {
			t.Errorf("%s: WWW-Authenticate is %q", name, got)
		}
	}
}

// TestStreamsEndWithTheirCertificate: Semantics 308: a stream ends when its certificate expires.
func TestStreamsEndWithTheirCertificate(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds()...)
	r := shown(&x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, NotAfter: policytest.Noon.Add(time.Minute)}, true)
	r.Stream = true
	if err := policytest.LetIn(b.Set(t, demand()), r); err != nil || r.Credential == nil {
		t.Errorf("%v, the credential is %v", err, r.Credential)
	}
}

// TestExpressions: Traffic 185: allow sees what stands in the certificate.
func TestExpressions(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds()...)
	c := &x509.Certificate{
		Raw: []byte("raw"), Subject: pkix.Name{CommonName: "ada", OrganizationalUnit: []string{"books"}}, Issuer: pkix.Name{CommonName: "ca"}, SerialNumber: big.NewInt(255),
		DNSNames: many(1000), EmailAddresses: []string{"ada@books.test"}, URIs: uris(t, "spiffe://t/ada"), NotBefore: policytest.Noon.Add(-time.Hour), NotAfter: policytest.Noon.Add(time.Hour),
	}
	for source, want := range map[string]bool{
		"cert.subject == 'CN=ada,OU=books'": true, "cert.issuer == 'CN=ca'": true, "cert.serial == 'ff'": true, "cert.common_name.startsWith('a')": true,
		"'999.books.test' in cert.dns_names": true, "'1000.books.test' in cert.dns_names": false, "cert.emails == ['ada@books.test']": true,
		"cert.uris[0] == 'spiffe://t/ada'": true, "cert.ip_addresses.size() == 0": true, "cert.not_after - cert.not_before == duration('2h')": true,
		"cert.fingerprint == '6a5f5ed24ddcb0cbd5a9a5aa5f7f5f0f'": false, "cert.fingerprint.size() == 64 && cert.thumbprint.size() == 43": true,
		"principal == 'spiffe://t/ada'": true, "cert.nothing == ''": false, "claims.size() == 0": true,
	} {
		p := demand()
		p.Auth.Allow = source
		if err := policytest.LetIn(b.Set(t, p), shown(c, true)); (err == nil) != want {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// TestCompile: what a certificate cannot have is refused, and what is demanded is explained.
func TestCompile(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds()...)
	both := []transomv1.MtlsAuth_From{transomv1.MtlsAuth_DNS_SAN, transomv1.MtlsAuth_DNS_SAN}
	with := func(edit func(*transomv1.Auth), from ...transomv1.MtlsAuth_From) *transomv1.Policy {
		p := demand(from...)
		edit(p.Auth)
		return p
	}
	for want, p := range map[string]*transomv1.Policy{
		"a client certificate, named by its URI, else its DNS name, else its common name": demand(),
		"a client certificate, named by its common name; streams outlive it":              with(func(a *transomv1.Auth) { a.OnExpiry = transomv1.Auth_KEEP }, transomv1.MtlsAuth_COMMON_NAME),
		"!auth.mtls.from: found DNS_SAN, expected each":                                   demand(both...),
		"!auth.mtls.from: found FROM_UNSPECIFIED":                                         demand(transomv1.MtlsAuth_FROM_UNSPECIFIED),
		"!auth.roles demands a role, but certificates have none: use allow":               with(func(a *transomv1.Auth) { a.Roles = []string{"a"} }),
		"!auth.scopes demands scopes, but certificates have none: use allow":              with(func(a *transomv1.Auth) { a.Scopes = []string{"a"} }),
	} {
		b.CheckExplained(t, policy.Target{RPC: "test.v1.Service/Method", Layers: []policy.Layer{{Policy: p, Where: "test.proto:1:1"}}}, want)
	}
}
