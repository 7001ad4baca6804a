package gateway_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// forgeries are headers by which a client could say who it is, or where it
// comes from.
func forgeries() []string {
	var all []string
	for _, name := range []string{"X-Transom-Principal", "X-Transom-Roles", "X-Transom-Claim-Team", "X-Transom-Claim-Admin", "X-Transom-Whatever",
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User-Agent", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip"} {
		under := strings.ReplaceAll(name, "-", "_")
		half := strings.Replace(name, "-", "_", 1)
		last := max(strings.LastIndexByte(name, '-'), 0)
		end := name[:last] + strings.ReplaceAll(name[last:], "-", "_")
		for _, form := range []string{name, under, half, end, strings.ToUpper(under)} {
			all = append(all, form, "Grpc-Metadata-"+form, "Grpc-Metadata-Grpc-Metadata-"+form, "Grpc_Metadata_"+form, "X-Grpc-Metadata-"+form)
		}
	}
	return all
}

// forged are the headers with a value, twice each, and their binary forms.
func forged() []string {
	var headers []string
	for _, name := range forgeries() {
		headers = append(headers, name, "forged", name, "forged again", name+"-Bin", base64.RawStdEncoding.EncodeToString([]byte("forged")))
	}
	return headers
}

// trusted reports whether a backend that cannot tell hyphens from underscores, or
// that takes grpc-gateway's prefix off, would believe the name.
func trusted(name string) bool {
	plain := strings.ReplaceAll(name, "_", "-")
	for {
		rest, ok := strings.CutPrefix(plain, "grpc-metadata-")
		if !ok {
			break
		}
		plain = rest
	}
	return strings.HasPrefix(plain, "x-transom-") || strings.HasPrefix(plain, "x-forwarded-") || strings.HasPrefix(plain, "x-real-") || plain == "forwarded"
}

// TestForgedIdentity: in no protocol, and in no spelling, can a client say what
// only the gateway may, though the operator lets all of x-* through.
func TestForgedIdentity(t *testing.T) {
	keeper, g := startDoors(t)
	token := bearer(doorToken(t, nil))
	_, port, _ := strings.Cut(g.Addr, ":")
	for _, d := range doorDrivers() {
		for _, test := range []struct {
			service string
			headers []string
			sees    map[string]string
		}{
			{"Open", nil, map[string]string{"x-forwarded-for": "127.0.0.1", "x-forwarded-host": g.Addr, "x-forwarded-proto": "http", "x-forwarded-port": port}},
			{"Jwt", token, map[string]string{"x-transom-principal": "ada", "x-transom-roles": "keeper", "x-transom-claim-team": "blue",
				"x-forwarded-for": "127.0.0.1", "x-forwarded-host": g.Addr, "x-forwarded-proto": "http", "x-forwarded-port": port}},
		} {
			t.Run("Semantics 52: "+d.name+", "+test.service, func(t *testing.T) {
				headers := slices.Concat(test.headers, forged())
				c := doorCase{name: "forged", service: test.service, headers: headers, sees: test.sees}
				c.run(t, keeper, g, d)
				told := keeper.of(t.Name() + c.name)
				if len(told) != 1 {
					t.Fatalf("%d calls", len(told))
				}
				checkTold(t, told[0], test.sees)
			})
		}
	}
}

// checkTold looks for what the gateway has not said.
func checkTold(t *testing.T, md metadata.MD, sees map[string]string) {
	t.Helper()
	for name, values := range md {
		if !trusted(name) {
			continue
		}
		if _, ok := sees[name]; !ok && name != "x-forwarded-user-agent" || slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "forged") }) {
			t.Errorf("the backend is told %s: %q", name, values)
		}
	}
}

// TestNamedOrigin: what says where a request comes from crosses where the
// operator names it, but never beside what the gateway itself says.
func TestNamedOrigin(t *testing.T) {
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: "metadata: { request_headers: [x-case, x-forwarded-*, x-forwarded-for, X-Forwarded-Host, x-real-ip] }\n",
	})
	a := g.Do(t, "POST", "/Open/ask", "{}", "X-Case", "named", "X-Forwarded-For", "forged", "X-Forwarded-Host", "forged",
		"X-Forwarded-Prefix", "/shop", "X-Real-Ip", "192.0.2.1", "X_Real_Ip", "forged")
	told := keeper.of("named")
	if a.Status != 200 || len(told) != 1 {
		t.Fatalf("%d %s, %d calls", a.Status, a.Body, len(told))
	}
	for name, want := range map[string]string{"x-forwarded-for": "127.0.0.1", "x-forwarded-host": g.Addr, "x-forwarded-prefix": "/shop", "x-real-ip": "192.0.2.1", "x_real_ip": ""} {
		if got := strings.Join(told[0].Get(name), " and "); got != want {
			t.Errorf("Semantics 31: %s is %q, want %q", name, got, want)
		}
	}
}
