package main

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
)

func TestDescribe(t *testing.T) {
	dir := folder(t, map[string]string{
		"a/a.proto": `syntax = "proto3";
package a.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
import "common/money.proto";
// Sells things.
service Shop {
  // Buys one thing.
  //
  // It costs money.
  rpc Buy(Order) returns (stream common.Money) {
    option (google.api.http) = { post: "/v1/orders" body: "*" };
    option (transom.v1.method) = { timeout: { seconds: 3 } };
  }
  rpc Drop(Order) returns (Order) { option (transom.v1.method) = { hidden: true }; }
}
message Order {
  // The thing.
  string thing_id = 1;
  map<string, common.Money> prices = 2;
  oneof how { Kind kind = 3; }
  repeated int64 numbers = 4;
}
enum Kind {
  KIND_UNSPECIFIED = 0; // not said
}
`,
		"b/common/money.proto": "syntax = \"proto3\"; package common; message Money { optional int64 units = 1; }\n",
	})
	for symbol, want := range map[string][]string{
		"":               {"a.v1.Shop\n  Buy(Order) returns (stream common.Money)\n  Drop(Order) returns (Order)  (hidden)\n"},
		"a.v1.Shop":      {"// Sells things.\nservice a.v1.Shop\n\n  // Buys one thing.\n  //\n  // It costs money.\n  rpc Buy(", "    route   POST /v1/orders", "    policy  timeout: 3s (", "Drop(Order) returns (Order)  (hidden)"},
		"/a.v1.Shop/Buy": {"rpc Buy(Order)", "message a.v1.Order\n  // The thing.\n  string thing_id = 1  json \"thingId\"\n  map<string, common.Money> prices = 2\n  Kind kind = 3  one of how\n  repeated int64 numbers = 4\n", "message common.Money\n  optional int64 units = 1\n"},
		"a.v1.Kind":      {"enum a.v1.Kind\n  // not said\n  KIND_UNSPECIFIED = 0\n"},
	} {
		args := []string{"describe", dir + "/a", dir + "/b"}
		if symbol != "" {
			args = []string{"describe", symbol, dir + "/a", dir + "/b"}
		}
		code, out, told := command(t, args...)
		if code != 0 {
			t.Errorf("%s: %d %s", symbol, code, told)
		}
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s:\n%s\nlacks\n%s", symbol, out, part)
			}
		}
	}
	if code, _, told := command(t, "describe", "a.v1.Shpo", dir+"/a", dir+"/b"); code != 1 || !strings.Contains(told, "there is no a.v1.Shpo; did you mean a.v1.Shop?") {
		t.Errorf("%d %s", code, told)
	}
	if _, out, _ := command(t, "routes", "--json", dir+"/a", dir+"/b"); !strings.Contains(out, `"request": "a.v1.Order"`) || !strings.Contains(out, `"response": "common.Money"`) {
		t.Error(out)
	}
}

// TestDemoOverTLS calls what the demo prints, with its certificate.
func TestDemoOverTLS(t *testing.T) {
	in := input{listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	demo := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return demo(ctx, in, s, true, started)
	})
	line := regexp.MustCompile(`(?m)^  (curl --cacert \S+ -s https://.*)$`).FindStringSubmatch(demo.log.String())
	if line == nil {
		t.Fatalf("no command is printed:\n%s", demo.log.String())
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", line[1]+" --silent --show-error --fail-with-body").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"name":"shelves/1/books/1"`) {
		t.Errorf("%v %s", err, out)
	}
}
