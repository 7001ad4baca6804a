// Package mtls is auth by certificate: who calls is who the client's certificate of TLS says,
// which the listener has checked.
package mtls

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxPrincipal is the longest name that a certificate can give, in bytes: that of a SPIFFE ID.
const maxPrincipal = 2048

// challenge is for callers without a certificate. No scheme is registered for them; RFC 9110 15.5.2
// wants one named all the same.
const challenge = `Certificate realm="transom"`

// What a caller is told who is not let in. It is about their own certificate alone.
var (
	errNone    = status.Error(codes.Unauthenticated, "the call needs a client certificate")
	errExpired = status.Error(codes.Unauthenticated, "the client certificate has expired")
	errNobody  = status.Error(codes.Unauthenticated, "the client certificate names nobody whom this method knows")
	errName    = status.Error(codes.Unauthenticated, "the name in the client certificate is too long, or holds what no name may")
)

// all are the names of a certificate in the order in which they are looked for.
var all = []transomv1.MtlsAuth_From{transomv1.MtlsAuth_URI_SAN, transomv1.MtlsAuth_DNS_SAN, transomv1.MtlsAuth_COMMON_NAME}

// words are what people call them.
var words = map[transomv1.MtlsAuth_From]string{
	transomv1.MtlsAuth_URI_SAN: "URI", transomv1.MtlsAuth_DNS_SAN: "DNS name", transomv1.MtlsAuth_COMMON_NAME: "common name",
}

// authenticator lets the holders of certificates in.
type authenticator struct {
	from    []transomv1.MtlsAuth_From
	origins *auth.Origins
	now     func() time.Time
	log     *slog.Logger
}

var _ auth.Authenticator = (*authenticator)(nil)

// Mechanism is auth by certificate.
func Mechanism() auth.Mechanism {
	return auth.Mechanism{Open: func(*policy.Generation) {}, Compile: newAuthenticator}
}

// newAuthenticator compiles a MtlsAuth.
func newAuthenticator(s *policy.Scope, demand *transomv1.Auth) auth.Authenticator {
	m, ok := demand.GetMechanism().(*transomv1.Auth_Mtls)
	if !ok {
		return nil
	}
	from := m.Mtls.GetFrom()
	for i, f := range from {
		if words[f] == "" || slices.Contains(from[:i], f) {
			s.Refuse(fmt.Sprintf("auth.mtls.from[%d]", i), "auth.mtls.from: found %s, expected each of URI_SAN, DNS_SAN, COMMON_NAME once at most", f)
		}
	}
	if len(from) == 0 {
		from = all
	}
	return &authenticator{from: from, origins: auth.OriginsOf(s.Generation), now: s.State.Now, log: s.Log}
}

func (a *authenticator) Summary() string {
	names := make([]string, len(a.from))
	for i, f := range a.from {
		names[i] = words[f]
	}
	return "a client certificate, named by its " + strings.Join(names, ", else its ")
}

// Challenge is for callers without a certificate.
func (*authenticator) Challenge() string { return challenge }

// Authenticate sets r.Identity.
func (a *authenticator) Authenticate(_ context.Context, r *policy.Request) (auth.Proof, error) {
	leaf := r.Certificate()
	if leaf == nil {
		return auth.NoProof, errNone
	}
	if a.now().After(leaf.NotAfter) { // the connection is older
		return auth.NoProof, errExpired
	}
	principal, err := a.principal(leaf)
	if err != nil {
		a.log.Debug("a client certificate was refused", "rpc", r.RPC, "request", r.RequestID, "subject", leaf.Subject.String(), "reason", err)
		return auth.NoProof, err
	}
	// A browser shows a certificate whoever asks it to send a request.
	if err := a.origins.Check(r); err != nil {
		return auth.NoProof, err
	}
	r.Identity = &policy.Identity{Principal: principal, Mechanism: "mtls", Source: leaf}
	r.Metadata = append(r.Metadata, auth.MetadataOf(r.Identity, nil)...)
	return auth.Elsewhere, nil
}

// principal is the first name that a certificate has. One that can be nobody's is not passed over
// for the next: it would be somebody else.
func (a *authenticator) principal(leaf *x509.Certificate) (string, error) {
	for _, f := range a.from {
		name := ""
		switch {
		case f == transomv1.MtlsAuth_URI_SAN && len(leaf.URIs) > 0:
			name = leaf.URIs[0].String()
		case f == transomv1.MtlsAuth_DNS_SAN && len(leaf.DNSNames) > 0:
			name = leaf.DNSNames[0]
		case f == transomv1.MtlsAuth_COMMON_NAME:
			name = leaf.Subject.CommonName
		}
		if name == "" {
			continue
		}
		if len(name) > maxPrincipal || !auth.IsPrincipal(name) {
			return "", errName
		}
		return name, nil
	}
	return "", errNobody
}

// Ending is that of the certificate.
func (a *authenticator) Ending(r *policy.Request) auth.Ending {
	leaf, ok := r.Identity.Source.(*x509.Certificate)
	if !ok {
		return auth.Ending{}
	}
	return auth.Ending{At: leaf.NotAfter}
}
