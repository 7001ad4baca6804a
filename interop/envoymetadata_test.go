package interop

import (
	"slices"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// envoyMetadataRequests go to a service that answers with metadata of its own.
var envoyMetadataRequests = []sent{
	{name: "nothing", method: "GET", path: "/v1/echo/x"},
	{name: "headers", method: "GET", path: "/v1/echo/x", headers: []string{"X-Own", "o", "Accept-Language", "de", "Cookie", "a=b", "Origin", "https://a.example", "Referer", "https://a.example/x", "If-Match", `"1"`, "Authorization", "Basic eDp5"}},
	{name: "prefixed headers", method: "GET", path: "/v1/echo/x", headers: []string{"Grpc-Metadata-X-Meta", "m", "Grpcgateway-X", "g"}},
	{name: "binary metadata", method: "GET", path: "/v1/echo/x", headers: []string{"X-Own-Bin", "AAE="}},
	{name: "trailers", method: "GET", path: "/v1/echo/x", headers: []string{"TE", "trailers"}},
	{name: "an error", method: "GET", path: "/v1/echo/x", headers: []string{"Grpcgateway-From", "a@b.example"}, differs: "an error without a body has gRPC's Content-Type also where the service sent headers first"},
}

// notCompared are the names whose values are not the same on purpose, or change
// from call to call.
var notCompared = map[string]string{
	":authority":                     "the two services' addresses",
	"x-request-id":                   "each call has one",
	"user-agent":                     "grpc-go's; the client's is x-forwarded-user-agent",
	"x-forwarded-user-agent":         "see there",
	"x-forwarded-for":                "Envoy adds it where use_remote_address is set",
	"x-forwarded-host":               "the service may want it",
	"x-forwarded-port":               "belongs to it",
	"accept-encoding":                "is between the client and the gateway",
	"grpc-metadata-x-meta":           "a client's Grpc-* never cross",
	"x-meta":                         "Grpc-Metadata-* of a request is metadata without the prefix",
	"x-envoy-original-method":        "Envoy's own",
	"x-envoy-original-path":          "Envoy's own",
	"x-envoy-expected-rq-timeout-ms": "Envoy's own",

	"X-Request-Id":                  "is the gateway's, as in its log, whatever the service sends",
	"Server":                        "Envoy's own",
	"Date":                          "changes",
	"X-Envoy-Upstream-Service-Time": "Envoy's own, and changes",
}

// compareEnvoyMetadata compares what the service and the client see of each
// other's metadata.
func compareEnvoyMetadata(t *testing.T, reference recording, l *listener, address string) {
	t.Helper()
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, Config: "compatibility: ENVOY\n" + wholeAnswers})
	for _, r := range envoyMetadataRequests {
		t.Run("metadata: "+r.name, func(t *testing.T) {
			theirs, ours := expected(t, reference.Metadata, r.name), ask(t, g.URL, r)
			want := theirs.answer()
			if ours.status != want.status || ours.body != want.body {
				t.Errorf("Envoy has %d %s, Transom %d %s", want.status, want.body, ours.status, ours.body)
			}
			if r.differs != "" { // in the Content-Type alone
				verdict(t, r, compare("Envoy", answer{header: want.header}, answer{header: ours.header}, false))
				want.header.Set("Content-Type", ours.header.Get("Content-Type"))
			}
			compareValues(t, "header", want.header, ours.header)
			compareValues(t, "trailer", want.trailer, ours.trailer)
			compareValues(t, "metadata", theirs.Service, l.take())
		})
	}
	if len(reference.Metadata) != len(envoyMetadataRequests) {
		t.Errorf("%s holds metadata for %d of %d requests", envoyAnswers, len(reference.Metadata), len(envoyMetadataRequests))
	}
}

func compareValues(t *testing.T, kind string, want, got map[string][]string) {
	t.Helper()
	for name, values := range want {
		if notCompared[name] == "" && !slices.Equal(values, got[name]) {
			t.Errorf("%s %s is %q from Envoy, %q from Transom", kind, name, values, got[name])
		}
	}
	for name, values := range got {
		if _, both := want[name]; !both && notCompared[name] == "" {
			t.Errorf("%s %s is %q from Transom, and nothing from Envoy", kind, name, values)
		}
	}
}
