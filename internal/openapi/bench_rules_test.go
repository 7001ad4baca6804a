package openapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// BenchmarkExpressions makes the first document of 1,000 methods whose requests, or answers, have rules in CEL, of messages and of fields.
// The policy validate has compiled those of requests.
func BenchmarkExpressions(b *testing.B) {
	for _, of := range []string{"requests", "answers"} {
		b.Run(of, func(b *testing.B) {
			const methods = 1000
			protos := map[string]string{"many.proto": manyRules(methods, of == "answers")}
			for b.Loop() {
				b.StopTimer()
				g := gatewaytest.Start(b, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protos})
				b.StartTimer()
				d, _, err := g.OpenAPI(openapi.Options{})
				if err != nil {
					b.Fatal(err)
				}
				text := d.JSON()
				b.StopTimer()
				b.ReportMetric(float64(strings.Count(string(text), `"examples": [`)), "examples")
				g.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/1000methods")
		})
	}
}

// TestExpressionsAreBounded: Surface 226: what examples cost is bounded by numbers alone, so the same document has the same examples, whatever was
// asked for before. Requests, whose rules the policy has compiled, all have one.
func TestExpressionsAreBounded(t *testing.T) {
	const methods = 300
	for _, answers := range []bool{false, true} {
		protos := map[string]string{"many.proto": manyRules(methods, answers)}
		var first string
		for _, before := range []string{"", openapi.Version32} {
			g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protos})
			var text string
			for _, version := range []string{before, ""} {
				d, _, err := g.OpenAPI(openapi.Options{Version: version})
				if err != nil {
					t.Fatal(err)
				}
				text = string(d.JSON())
			}
			if first == "" {
				first = text
			}
			if text != first {
				t.Errorf("answers %t: the document differs by which was made before", answers)
			}
		}
		n := strings.Count(first, `"name": "n`)
		if !answers && n != methods {
			t.Errorf("%d of %d requests have an example", n, methods)
		}
		if answers && (n < 50 || n == methods) {
			t.Errorf("%d of %d answers have an example, wanted some", n, methods)
		}
	}
}

// manyRules is a service whose methods have a message each, with rules in CEL: their requests, or else their answers.
func manyRules(methods int, answers bool) string {
	var s strings.Builder
	s.WriteString(`syntax = "proto3";
package many.v1;
import "google/api/annotations.proto";
import "buf/validate/validate.proto";
service Many {
`)
	for i := range methods {
		one, other := fmt.Sprintf("Ruled%d", i), "Plain"
		if answers {
			one, other = other, one
		}
		fmt.Fprintf(&s, "  rpc Call%d(%s) returns (%s) { option (google.api.http) = { post: \"/v1/call%d\" body: \"*\" }; }\n", i, one, other, i)
	}
	s.WriteString("}\nmessage Plain { string text = 1; }\n")
	for i := range methods {
		fmt.Fprintf(&s, `message Ruled%d {
  option (buf.validate.message).cel = { id: "order" message: "the begin is before the end" expression: "this.begin < this.end" };
  int32 begin = 1;
  int32 end = 2;
  string name = 3 [(buf.validate.field).cel = { id: "name" expression: "this.startsWith('n%d-')" }];
}
`, i, i)
	}
	return s.String()
}
