package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestBuiltInImports imports every built-in file from the source text that was
// written back from its descriptor.
func TestBuiltInImports(t *testing.T) {
	paths := wellKnownPaths()
	slices.Sort(paths)
	for _, path := range []string{
		"google/protobuf/timestamp.proto", "google/api/annotations.proto", "google/api/httpbody.proto",
		"google/rpc/status.proto", "google/rpc/error_details.proto", "google/type/date.proto", "google/longrunning/operations.proto",
		"buf/validate/validate.proto", "protoc-gen-openapiv2/options/annotations.proto",
		"openapiv3/annotations.proto", "gnostic/openapi/v3/annotations.proto",
		"transom/v1/annotations.proto", "transom/v1/policy.proto", "transom/v1/config.proto",
	} {
		if !slices.Contains(paths, path) {
			t.Errorf("%s is not built in", path)
		}
	}
	for _, path := range append(paths, "google/protobuf/cpp_features.proto", "google/protobuf/java_features.proto") {
		t.Run("Semantics 48: "+path, func(t *testing.T) {
			registry := loadGood(t, write(t, map[string]string{
				"a.proto": fmt.Sprintf("syntax = \"proto3\";\npackage a;\nimport %q;\nmessage A {}\n", path),
			}))
			file, err := registry.Files().FindFileByPath(path)
			if err != nil {
				t.Fatal(err)
			}
			if linked := wellKnownFile(path); linked != nil && linked != file {
				t.Error("the file was built anew")
			}
			if len(registry.Services()) > 0 {
				t.Errorf("services of an import: %v", names(registry.Services()))
			}
		})
	}
}

// TestGnosticNames uses the OpenAPI annotations under both names they have.
func TestGnosticNames(t *testing.T) {
	for path, pkg := range map[string]string{
		"openapiv3/annotations.proto":          "openapi.v3",
		"gnostic/openapi/v3/annotations.proto": "gnostic.openapi.v3",
	} {
		t.Run("Semantics 48: "+path, func(t *testing.T) {
			registry := loadGood(t, write(t, map[string]string{"a.proto": fmt.Sprintf(`
				syntax = "proto3";
				package a;
				import %q;
				message A {}
				service S {
					rpc Get(A) returns (A) {
						option (%s.operation) = { summary: "Reads" tags: ["one", "two"] };
					}
				}`, path, pkg)}))
			method := registry.Services()[0].Methods().Get(0)
			if text := fmt.Sprint(method.Options()); !strings.Contains(text, "Reads") {
				t.Errorf("options %s", text)
			}
		})
	}
}

func TestOwnCopyOfBuiltIn(t *testing.T) {
	files := map[string]string{
		"google/api/http.proto": `
			syntax = "proto3";
			package google.api;
			message HttpRule {
				string get = 2;
				string mark = 99;
			}`,
		"a.proto": `
			syntax = "proto3";
			package a;
			import "google/api/annotations.proto";
			message A {}
			service S {
				rpc Get(A) returns (A) {
					option (google.api.http) = { get: "/v1/a" mark: "own" };
				}
			}`,
	}
	t.Run("Semantics 48: the user's own copy stands before the built-in one", func(t *testing.T) {
		registry := loadGood(t, write(t, files))
		rule, err := registry.FindDescriptorByName("google.api.HttpRule")
		if err != nil || rule.(protoreflect.MessageDescriptor).Fields().ByName("mark") == nil {
			t.Errorf("HttpRule is not the user's: %v", err)
		}
		extension, err := registry.FindDescriptorByName("google.api.http")
		if err != nil || extension.(protoreflect.FieldDescriptor).Message() != rule {
			t.Errorf("the built-in annotations.proto does not use the user's http.proto: %v", err)
		}
		if got := HTTPRule(registry.Services()[0].Methods().Get(0)).GetGet(); got != "/v1/a" {
			t.Errorf("rule %q", got)
		}
	})
	t.Run("Semantics 48: descriptor.proto too", func(t *testing.T) {
		descriptor, err := builtIn("google/protobuf/descriptor.proto")
		if err != nil {
			t.Fatal(err)
		}
		files["google/protobuf/descriptor.proto"] = descriptor.Text()
		registry := loadGood(t, write(t, files))
		if got := HTTPRule(registry.Services()[0].Methods().Get(0)).GetGet(); got != "/v1/a" {
			t.Errorf("rule %q", got)
		}
	})
}
