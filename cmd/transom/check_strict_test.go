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
