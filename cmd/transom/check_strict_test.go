package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckStrict: Surface 219: what of options for OpenAPI is not in the document is told with its
// place, and fails --strict alone.
func TestCheckStrict(t *testing.T) {
	dir := t.TempDir()
	write := func(options string) {
		text := `syntax = "proto3";
package a.v1;
import "protoc-gen-openapiv2/options/annotations.proto";
service A {
  rpc Get(Question) returns (Question) {` + options + `}
}
message Question { string text = 1; }
`
		if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(` option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = { summary: "Gets." schemes: HTTPS }; `)
	if code, _, told := command(t, "check", "--upstream", "127.0.0.1:1", dir); code != 0 || told != "" {
		t.Errorf("check: %d\n%s", code, told)
	}
	code, _, told := command(t, "check", "--strict", "--upstream", "127.0.0.1:1", dir)
	if want := "a.proto:5:3: warning: the OpenAPI document is without `schemes` of the option of protoc-gen-openapiv2"; code != exitProblem || !strings.Contains(told, want) || !strings.Contains(told, "found 1 warning, expected none (--strict)") {
		t.Errorf("check --strict: %d\n%s", code, told)
	}
	write(` option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = { summary: "Gets." }; `)
	if code, out, told := command(t, "check", "--strict", "--upstream", "127.0.0.1:1", dir); code != 0 || out != "ok: 1 route\n" {
		t.Errorf("check --strict without a warning: %d %s\n%s", code, out, told)
	}
}

// TestOperationIDs: Surface 207: an operationId that options give to two methods is refused, with both
// places; so is one that is another method's name. A method may have it for all its rules.
func TestOperationIDs(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ get, put, want string }{
		{"Take", "Take", `a.proto:9:49: found the operationId "Take", which a.v1.A.Get (a.proto:6:49) has, too`},
		{"A_Put", "", `a.proto:6:49: found the operationId "A_Put", which a.v1.A.Put (a.proto:9:3) has, too`},
		{"", "A_Get", `a.proto:9:49: found the operationId "A_Get", which a.v1.A.Get (a.proto:6:3) has, too`},
		{"Take", "Put", ""},
		{"A_Put", "A_Get", ""},
	} {
		option := func(id string) string {
			if id == "" {
				return ""
			}
			return `option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = { operation_id: "` + id + `" };`
		}
		text := `syntax = "proto3";
package a.v1;
import "google/api/annotations.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
service A {
  rpc Get(Question) returns (Question) { ` + option(test.get) + `
    option (google.api.http) = { get: "/a" additional_bindings: { post: "/a" body: "*" } };
  }
  rpc Put(Question) returns (Question) { ` + option(test.put) + ` }
}
message Question { string text = 1; }
`
		if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, told := command(t, "check", "--upstream", "127.0.0.1:1", dir)
		if (code == 0) != (test.want == "") || !strings.Contains(strings.ReplaceAll(told, dir+"/", ""), test.want) {
			t.Errorf("%q and %q: %d\n%s\nwant %s", test.get, test.put, code, told, test.want)
		}
	}
}
