package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestCacheOfClaims: Traffic 116: where headers for the backend have a claim in them, tokens of one
// principal with other values of it do not share answers, on methods and on routes.
func TestCacheOfClaims(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(pb.GetShelfRequest)); err != nil {
			return err
		}
		md, _ := metadata.FromIncomingContext(stream.Context())
		return stream.SendMsg(&pb.Shelf{Theme: strings.Join(md["x-tenant"], ",")})
	})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = fmt.Fprint(w, r.Header["X-Tenant"]) // the client looks
	}))
	t.Cleanup(site.Close)
	policy := "auth: { jwt: {} }, cache: { ttl: 60s }, headers: { request: { set: { x-tenant: 'of ${claim.org.id}' } } }"
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: backend, Protos: map[string]string{"shared.proto": plainSharedProto},
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: `auth: { jwt: [{ issuer: i, audience: a, secret: "` + secret + `" }] }
policies: [{ selector: shared.v1.Service.Read, policy: { ` + policy + ` } }]
routes: [{ match: { path_prefix: /site }, upstream: site, policy: { ` + policy + ` } }]
`,
	})
	bearer := func(org string) string {
		claims := jwt.MapClaims{"iss": "i", "aud": "a", "sub": "ada", "org": map[string]string{"id": org}, "exp": time.Now().Add(time.Hour).Unix()}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	for _, path := range []string{"/v1/shared/shelves/1", "/site/a"} {
		for _, org := range []string{"one", "two", "one"} {
			if a := g.Do(t, "GET", path, "", "Authorization", bearer(org)); a.Status != 200 || !strings.Contains(a.Body, "of "+org) {
				t.Errorf("%s of %s: %d %s", path, org, a.Status, a.Body)
			}
		}
	}
}
