package schema

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestSoundFiles: what a broken file does not touch can be looked at.
func TestSoundFiles(t *testing.T) {
	const (
		good     = `syntax = "proto3"; package good; import "google/api/annotations.proto"; message M {} service Good { rpc Get(M) returns (M) { option (google.api.http) = { get: "/v1/good" }; } }`
		broken   = `syntax = "proto3"; package broken; message M { int32 }`
		importer = `syntax = "proto3"; package importer; import "broken.proto"; message M {} service Importer { rpc Get(M) returns (M); }`
		far      = `syntax = "proto3"; package far; import "importer.proto"; message M {} service Far { rpc Get(M) returns (M); }`
	)
	tests := map[string]struct {
		files    map[string]string
		services []string
	}{
		"a broken file": {
			map[string]string{"good.proto": good, "broken.proto": broken},
			[]string{"good.Good"},
		},
		"what imports a broken file, however far away": {
			map[string]string{"good.proto": good, "broken.proto": broken, "importer.proto": importer, "far.proto": far},
			[]string{"good.Good"},
		},
		"an import in another form": {
			map[string]string{
				"good.proto": good, "broken.proto": broken,
				"importer.proto": `syntax = "proto3"; package importer; import "./bro\x6ben" '.proto'; message M {} service Importer { rpc Get(M) returns (M); }`,
			},
			[]string{"good.Good"},
		},
		"a circle of imports": {
			map[string]string{
				"good.proto": good,
				"a.proto":    `syntax = "proto3"; package a; import "b.proto"; message M {} service A { rpc Get(M) returns (M); }`,
				"b.proto":    `syntax = "proto3"; package b; import "a.proto"; message M {} service B { rpc Get(M) returns (M); }`,
			},
			[]string{"good.Good"},
		},
		"a broken file that a built-in one imports": {
			map[string]string{
				"good.proto":            good,
				"other.proto":           `syntax = "proto3"; package other; message M {} service Other { rpc Get(M) returns (M); }`,
				"google/api/http.proto": `syntax = "proto3"; package google.api; message HttpRule { int32 }`,
			},
			[]string{"other.Other"},
		},
		"a name that two files declare": {
			map[string]string{
				"good.proto":  good,
				"twin.proto":  `syntax = "proto3"; package twin; message M {}`,
				"twins.proto": `syntax = "proto3"; package twin; message M {} message N {} service Twins { rpc Get(N) returns (N); }`,
			},
			[]string{"good.Good", "twin.Twins"},
		},
		"nothing": {map[string]string{"broken.proto": broken, "importer.proto": importer}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			registry, problems := Directory(write(t, test.files)).Load(t.Context())
			if problems.Err() == nil {
				t.Fatal("a broken folder gave no problem")
			}
			var services []protoreflect.ServiceDescriptor
			if registry != nil {
				services = registry.Services()
			}
			if got := names(services); !slices.Equal(got, test.services) {
				t.Errorf("services %v, want %v, beside\n%v", got, test.services, problems)
			}
		})
	}
}

// TestUnreadFile: what is wrong elsewhere is told beside it, and nothing of what
// imports it.
func TestUnreadFile(t *testing.T) {
	folder := write(t, map[string]string{
		"good.proto":     `syntax = "proto3"; package good; message M {} service Good { rpc Get(M) returns (M); }`,
		"broken.proto":   `syntax = "proto3"; package broken; message M { Missing m = 1; }`,
		"importer.proto": `syntax = "proto3"; package importer; import public 'sub/dead.proto'; message M { Missing m = 1; }`,
		"far.proto":      `syntax = "proto3"; package far; import "./importer.proto"; message M { sub.Dead m = 1; }`,
		"sub/x.txt":      "",
	})
	if err := os.Symlink("nowhere", filepath.Join(folder, "sub", "dead.proto")); err != nil {
		t.Fatal(err)
	}
	registry, problems := Directory(folder).Load(t.Context())
	compareLines(t, problems.Error(),
		folder+"/broken.proto:1:48: cannot find `Missing` in this scope",
		folder+"/sub/dead.proto: cannot be read: there is no such file or folder")
	if registry == nil || !slices.Equal(names(registry.Services()), []string{"good.Good"}) {
		t.Errorf("the registry is %v", registry)
	}
}
