package gateway_test

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const vaultProto = `syntax = "proto3";
package vault.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Vault {
  rpc Open(Request) returns (Request) {
    option (google.api.http) = {
      post: "/v1/open" body: "*"
      additional_bindings { get: "/v1/open" }
      additional_bindings { get: "/v1/open/{plain}" }
      additional_bindings { get: "/v1/pins/{pin}" }
      additional_bindings { post: "/v1/card" body: "card" }
    };
  }
}
message Request {
  int32 pin = 1 [(transom.v1.field).sensitive = true];
  Kind kind = 2 [(transom.v1.field).sensitive = true];
  Card card = 3 [(transom.v1.field).sensitive = true];
  repeated Card cards = 4;
  map<string, int32> pins = 5 [(transom.v1.field).sensitive = true];
  int32 plain = 6;
}
message Card { int32 number = 1; int32 code = 2 [(transom.v1.field).sensitive = true]; }
enum Kind { KIND_UNSPECIFIED = 0; }
`

// TestSensitiveFields has each way into a message carry something that does not
// fit: where the field is sensitive, neither the answer nor the log repeats it.
func TestSensitiveFields(t *testing.T) {
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{NoBookstore: true, Backend: "127.0.0.1:1", Log: &log,
		Protos: map[string]string{"vault.proto": vaultProto}})
	for name, c := range map[string]struct{ method, path, body, says string }{
		"a number":                  {"POST", "/v1/open", `{"pin":"s3cret"}`, "body: pin: the value is not valid"},
		"a number out of range":     {"POST", "/v1/open", `{"pin":37373737373}`, "body: pin: the value is not valid"},
		"an enum":                   {"POST", "/v1/open", `{"kind":"S3CRET"}`, "body: kind: the value is not valid"},
		"within a message":          {"POST", "/v1/open", `{"card":{"number":"s3cret"}}`, "body: card: the value is not valid"},
		"an unknown field":          {"POST", "/v1/open", `{"card":{"s3cret":1}}`, "body: card: the value is not valid"},
		"an element of a list":      {"POST", "/v1/open", `{"cards":[{"code":"s3cret"}]}`, "body: cards[0].code: the value is not valid"},
		"the key of a map":          {"POST", "/v1/open", `{"pins":{"s3cret":"x"}}`, "body: pins: the value is not valid"},
		"a query parameter":         {"GET", "/v1/open?pin=s3cret", "", `"pin": the value is not valid`},
		"a path variable":           {"GET", "/v1/pins/s3cret", "", "path variable {pin}: the value is not valid"},
		"a nested one":              {"GET", "/v1/open?card.number=s3cret", "", `"card.number": the value is not valid`},
		"a body that is one field":  {"POST", "/v1/card", `{"number":"s3cret"}`, "the value is not valid"},
		"over Connect":              {"POST", "/vault.v1.Vault/Open", `{"pin":"s3cret"}`, "pin: the value is not valid"},
		"another field is repeated": {"GET", "/v1/open/many", "", `\"many\"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.Do(t, c.method, c.path, c.body)
			plain := strings.ReplaceAll(a.Body, `\"`, `"`)
			if a.Status != 400 || !strings.Contains(a.Body, c.says) && !strings.Contains(plain, c.says) {
				t.Errorf("%d %s, want 400 and %q", a.Status, a.Body, c.says)
			}
			for _, secret := range []string{"s3cret", "S3CRET", "37373737373"} {
				if strings.Contains(a.Body, secret) {
					t.Errorf("the answer repeats what was sent: %s", a.Body)
				}
			}
		})
	}
	poll.Until(t, "the line of the path variable", func() bool { return strings.Contains(log.String(), `"path":"/v1/pins/{pin}"`) })
	for _, other := range [][]string{
		{"OPTIONS", "Origin", "https://p.example", "Access-Control-Request-Method", "GET"}, {"OPTIONS"}, {"DELETE"}, {"GET", "Connection", "Upgrade", "Upgrade", "websocket"},
	} {
		before := strings.Count(log.String(), `"path":"/v1/pins/{pin}"`)
		g.Do(t, other[0], "/v1/pins/s3cret", "", other[1:]...)
		poll.Until(t, "the line of "+other[0], func() bool { return strings.Count(log.String(), `"path":"/v1/pins/{pin}"`) > before })
	}
	if strings.Contains(strings.ToLower(log.String()), "s3cret") {
		t.Errorf("the log repeats what was sent:\n%s", log.String())
	}
}
