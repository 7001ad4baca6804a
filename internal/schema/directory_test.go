package schema

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// loadGood loads a folder that has no problems.
func loadGood(t testing.TB, folder string) *Registry {
	t.Helper()
	registry, problems := Directory(folder).Load(t.Context())
	for _, problem := range problems {
		t.Error(problem)
	}
	if registry == nil {
		t.FailNow()
	}
	return registry
}

// write makes a folder with the given files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func names(services []protoreflect.ServiceDescriptor) []string {
	var all []string
	for _, service := range services {
		all = append(all, string(service.FullName()))
	}
	return all
}

func TestDirectory(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	if registry.Source() != "testdata/good" {
		t.Errorf("source %q", registry.Source())
	}
	want := []string{"bookstore.v1.BookstoreService", "mixed.two.OldService"}
	if got := names(registry.Services()); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for _, name := range []protoreflect.FullName{"bookstore.v1.Book.Edition.Kind", "google.protobuf.Timestamp", "google.rpc.ErrorInfo", "mixed.e2024.Newer"} {
		if _, err := registry.FindDescriptorByName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := registry.FindDescriptorByName("grpc.health.v1.HealthCheckRequest"); err == nil {
		t.Error("what is linked into the binary by chance is found")
	}
	if _, err := registry.FindMessageByURL("type.googleapis.com/google.rpc.BadRequest"); err != nil {
		t.Error(err)
	}
	if extension, err := registry.FindExtensionByNumber("mixed.two.Old", 100); err != nil || extension.TypeDescriptor().FullName() != "mixed.two.note" {
		t.Errorf("extension 100 of Old: %v, %v", extension, err)
	}
	file, err := registry.FindFileByPath("google/rpc/error_details.proto")
	if err != nil || file.Path() != "google/rpc/error_details.proto" {
		t.Errorf("a built-in file that nobody imports: %v, %v", file, err)
	}
}

func TestSyntaxes(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	field := func(name protoreflect.FullName) protoreflect.FieldDescriptor {
		d, err := registry.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return d.(protoreflect.FieldDescriptor)
	}
	t.Run("Semantics 49: proto2", func(t *testing.T) {
		if field("mixed.two.Old.id").Cardinality() != protoreflect.Required {
			t.Error("id is not required")
		}
		if field("mixed.two.Old.number").Default().Int() != 42 {
			t.Error("number has lost its default")
		}
		if field("mixed.two.Old.part").Kind() != protoreflect.GroupKind {
			t.Error("part is no group")
		}
		enum, _ := registry.FindDescriptorByName("mixed.two.Old.Closed")
		if !enum.(protoreflect.EnumDescriptor).IsClosed() {
			t.Error("Closed is open")
		}
	})
	t.Run("Semantics 49: editions 2023 and 2024", func(t *testing.T) {
		if field("mixed.e2023.New.part").Kind() != protoreflect.GroupKind {
			t.Error("part is not delimited")
		}
		if field("mixed.e2023.New.id").HasPresence() || !field("mixed.e2023.New.number").HasPresence() {
			t.Error("presence is not as the features say")
		}
		if field("mixed.e2024.Newer.part").Message().FullName() != "mixed.e2023.New" {
			t.Error("part of Newer is no New")
		}
	})
}

// TestConfigMap lays files out as Kubernetes mounts them: each a link into a
// hidden folder that is itself a link.
func TestConfigMap(t *testing.T) {
	folder := write(t, map[string]string{
		"..2026_11_23/book.proto": "syntax = \"proto3\";\npackage book;\nmessage Book {}\nservice Books { rpc Get(Book) returns (Book); }\n",
		"..2026_11_23/note.txt":   "no proto",
	})
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026_11_23", "..data")
	link("..data/book.proto", "book.proto")
	link("..data/note.txt", "note.txt")
	link("nowhere", "dead")
	link(".", "loop")
	link("..", "up")
	registry := loadGood(t, folder)
	if got := names(registry.Services()); !slices.Equal(got, []string{"book.Books"}) {
		t.Errorf("services %v", got)
	}
}

func TestUnreadableFolders(t *testing.T) {
	folder := write(t, map[string]string{"a.txt": "", "deep/b.md": ""})
	dead := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dead, "a.proto")); err != nil {
		t.Fatal(err)
	}
	notFile := t.TempDir()
	if err := os.MkdirAll(filepath.Join(notFile, "x.proto", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	large := t.TempDir()
	if err := os.WriteFile(filepath.Join(large, "a.proto"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(large, "a.proto"), maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ folder, want string }{
		"empty":     {folder, folder + ": no .proto files in this folder or below it"},
		"missing":   {folder + "/none", folder + "/none: cannot be read: there is no such file or folder"},
		"a file":    {folder + "/a.txt", folder + "/a.txt: cannot be read: it is a file, and a folder is expected"},
		"dead link": {dead, dead + "/a.proto: cannot be read: there is no such file or folder"},
		"a folder":  {notFile, notFile + ": no .proto files"},
		"too large": {large, large + "/a.proto: is 16777217 bytes long; a .proto file may have 16777216"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			registry, problems := Directory(test.folder).Load(t.Context())
			if registry != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), test.want) {
				t.Errorf("%v\nwant one problem that begins with\n%s", problems, test.want)
			}
		})
	}
}

func TestCancelledLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	registry, problems := Directory("testdata/good").Load(ctx)
	if registry != nil || problems.Err() == nil || !strings.Contains(problems.Error(), "stopped") {
		t.Errorf("%v, %v", registry, problems)
	}
}

func TestDigest(t *testing.T) {
	text := "syntax = \"proto3\";\npackage book;\nmessage Book {}\n"
	digest := func(files map[string]string) [32]byte { return loadGood(t, write(t, files)).Digest() }
	first := digest(map[string]string{"a.proto": text})
	if first != digest(map[string]string{"a.proto": text, "b.txt": "x"}) {
		t.Error("the same protos have another digest")
	}
	if first == digest(map[string]string{"b.proto": text}) {
		t.Error("another name, the same digest")
	}
	if first == digest(map[string]string{"a.proto": text + "// a comment\n"}) {
		t.Error("another comment, the same digest")
	}
}
