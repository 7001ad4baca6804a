package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// startCredentials starts the doors with all headers let through, and with a prefix
// for HTTP's permanent headers.
func startCredentials(t *testing.T) (*doorBackend, *gatewaytest.Gateway) {
	t.Helper()
	d := &doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}
	return d, gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, d.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: strings.Replace(doorConfig(), "request_headers: [x-*]", `request_headers: ["*"], permanent_prefix: own-`, 1),
	})
}

// kept are names that the gateway verifies, sets or names itself.
var kept = []string{"Authorization", "Traceparent", "Tracestate", "Baggage", "Idempotency-Key", "Last-Event-Id", "Accept-Language",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Request-Id", "X-Transom-Principal", "X-Transom-Claim-Team", "Cookie"}

// doubles are headers by which a client could say one of the kept names a second
// time, with the value.
func doubles(value string) []string {
	var headers []string
	for _, name := range kept {
		for _, prefix := range []string{"", "Grpc-Metadata-", "Grpc_Metadata_", "Grpc.Metadata.", "Grpc-Metadata-Grpc-Metadata-", "Grpcgateway-", "grpcgateway_",
			"Grpc-Metadata-Grpcgateway-", "Own-", "own_", "Grpc-Metadata-Own-"} {
			for _, spelling := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)} {
				if full := prefix + spelling; !slices.Contains(kept, full) {
					headers = append(headers, full, value)
				}
			}
		}
	}
	return headers
}

// says is what a backend may take a name for.
func says(name string) string {
	name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
	for {
		rest := name
		for _, prefix := range []string{"grpc-metadata-", "grpcgateway-", "own-"} {
			rest = strings.TrimPrefix(rest, prefix)
		}
		if rest == name {
			return name
		}
		name = rest
	}
}

// TestOneCredential: in every protocol, whatever a client adds and however it
// spells that, a backend sees the credential that was verified, or none.
func TestOneCredential(t *testing.T) {
	keeper, g := startCredentials(t)
	token := doorToken(t, nil)
	session := doorSession(t, g)
	for _, d := range doorDrivers() {
		for _, c := range []struct {
			name, service, query string
			headers              []string
			sees                 string // as authorization
		}{
			{"no auth", "Open", "", []string{"Authorization", "Bearer own"}, "Bearer own"},
			{"a token in the header", "Jwt", "", bearer(token), "Bearer " + token},
			{"a token in a cookie", "Jwt", "", []string{"Cookie", "theme=dark; token=" + token}, ""},
			{"a token in a cookie, another scheme", "Jwt", "", []string{"Cookie", "token=" + token, "Authorization", "Basic forged"}, ""},
			{"a token in the query", "Jwt", "access_token=" + token, nil, ""},
			{"a token in the query, another scheme", "Jwt", "access_token=" + token, []string{"Authorization", "Basic forged"}, ""},
			{"a session", "Session", "", []string{"Cookie", session}, ""},
			{"a session and a token nobody asked for", "Session", "", []string{"Cookie", session, "Authorization", "Bearer forged"}, ""},
		} {
			t.Run("Semantics 305: "+d.name+", "+c.name, func(t *testing.T) {
				forms := doubles("Bearer forged")
				call := doorCase{name: c.name, service: c.service, query: c.query, headers: slices.Concat(c.headers, forms)}
				call.run(t, keeper, g, d)
				told := keeper.of(t.Name() + c.name)
				if len(told) != 1 {
					t.Fatalf("%d calls", len(told))
				}
				checkCredential(t, told[0], c.sees)
			})
		}
	}
}

func checkCredential(t *testing.T, md metadata.MD, want string) {
	t.Helper()
	if got := strings.Join(md.Get("authorization"), " and "); got != want {
		t.Errorf("authorization is %q, want %q", got, want)
	}
	for name, values := range md {
		bare := says(name)
		for _, value := range values {
			if !strings.Contains(value, "forged") {
				continue
			}
			if slices.ContainsFunc(kept, func(k string) bool { return strings.EqualFold(k, bare) && k != "Cookie" }) {
				t.Errorf("the backend is told %s: %s", name, value)
			}
		}
	}
}

// TestCookiesStay: the session's cookie and that of a token reach no backend, in
// any protocol and under any prefix; others do where headers cross.
func TestCookiesStay(t *testing.T) {
	keeper, g := startCredentials(t)
	token := doorToken(t, nil)
	session := doorSession(t, g)
	for _, d := range doorDrivers() {
		for _, service := range []string{"Open", "Jwt", "Session"} {
			t.Run("Semantics 306: "+d.name+", "+service, func(t *testing.T) {
				cookies := "theme=dark; " + session + "; token=" + token
				headers := []string{"Cookie", cookies}
				for _, name := range []string{"Grpc-Metadata-Cookie", "Grpcgateway-Cookie", "Own-Cookie", "Grpc-Metadata-Grpcgateway-Cookie", "Grpcgateway_Cookie"} {
					headers = append(headers, name, cookies)
				}
				c := doorCase{name: "cookies", service: service, headers: headers}
				c.run(t, keeper, g, d)
				told := keeper.of(t.Name() + c.name)
				if len(told) != 1 {
					t.Fatalf("%d calls", len(told))
				}
				_, id, _ := strings.Cut(session, "=")
				for name, values := range told[0] {
					for _, value := range values {
						if strings.Contains(value, id) || strings.Contains(value, token) {
							t.Errorf("the backend is told %s: %s", name, value)
						}
					}
				}
				if got := told[0].Get("cookie"); len(got) == 0 || got[0] != "theme=dark" {
					t.Errorf("the other cookie is %q, want theme=dark", got)
				}
			})
		}
	}
}

// TestOwnPathCookie: a plain POST to the method's own path is Connect's unary form,
// and keeps the session's cookie back likewise.
func TestOwnPathCookie(t *testing.T) {
	keeper, g := startDoors(t)
	session := doorSession(t, g)
	a := g.Do(t, http.MethodPost, "/door.v1.Session/Ask", `{"text":"hello"}`, "Cookie", session, "X-Case", "plain")
	told := keeper.of("plain")
	if a.Status != http.StatusOK || len(told) != 1 {
		t.Fatalf("%d %s, %d calls", a.Status, a.Body, len(told))
	}
	if got := told[0].Get("cookie"); len(got) != 0 {
		t.Errorf("Semantics 306: the backend is told %q", got)
	}
}
