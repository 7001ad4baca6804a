package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What somebody's module has whose build docs/policies/README.md describes.
const (
	ownProto = `syntax = "proto3";
package books.v1;
option go_package = "example.com/books/protos/books/v1;booksv1";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Books {
  rpc Get(Book) returns (Book) {
    option (google.api.http) = { get: "/v1/{name=books/*}" };
    option (transom.v1.method) = { timeout: { seconds: 3 } };
  }
}
message Book { string name = 1; }
`
	ownMain = `package main

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	booksv1 "example.com/books/protos/books/v1"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

type server struct{ booksv1.UnimplementedBooksServer }

func main() {
	booksv1.RegisterBooksServer(grpc.NewServer(), server{})
	method := booksv1.File_books_v1_books_proto.Services().Get(0).Methods().Get(0)
	policy := proto.GetExtension(method.Options(), transomv1.E_Method).(*transomv1.Policy)
	fmt.Println("timeout", policy.GetTimeout().AsDuration())
}
`
)

// TestOwnBuild does what docs/policies/README.md says under "In your own build": a module
// of somebody else's has its code made with the folder proto as one more -I, or with copies
// of the two files, and builds with the options and without the gateway.
func TestOwnBuild(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	copies := t.TempDir()
	for _, name := range []string{"annotations.proto", "policy.proto"} {
		text, err := os.ReadFile(filepath.Join(root, "proto", "transom", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(copies, "transom", "v1", name), string(text))
	}
	for name, folder := range map[string]string{"the repository's folder proto": filepath.Join(root, "proto"), "copies of the two files": copies} {
		t.Run(name, func(t *testing.T) {
			module := ownModule(t, root, folder)
			if out := inModule(t, module, "run", "."); out != "timeout 3s\n" {
				t.Errorf("the program says %q", out)
			}
			var ours []string
			for name := range strings.FieldsSeq(inModule(t, module, "list", "-deps", ".")) {
				if strings.HasPrefix(name, "github.com/transom-gateway/transom") {
					ours = append(ours, name)
				}
			}
			if !slices.Equal(ours, []string{"github.com/transom-gateway/transom/proto/transom/v1"}) {
				t.Errorf("part of the program is %q", ours)
			}
		})
	}
}

// ownModule writes a module, with the code of its proto; options is where that finds
// transom/v1.
func ownModule(t *testing.T, root, options string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	put(t, filepath.Join(folder, "protos", "books", "v1", "books.proto"), ownProto)
	own := job{Root: filepath.Join(folder, "protos"), Roots: []string{options}}
	request, err := own.request()
	if err != nil {
		t.Fatal(err)
	}
	for _, plugin := range []string{messagePlugin, servicePlugin} {
		files, err := runPlugin(plugin, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			put(t, filepath.Join(own.Root, f.GetName()), f.GetContent())
		}
	}
	put(t, filepath.Join(folder, "main.go"), ownMain)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, requires, _ := strings.Cut(string(mod), "\nrequire")
	requires, _, _ = strings.Cut(requires, "\ntool")
	_, version, _ := strings.Cut(string(mod), "\ngo ")
	version, _, _ = strings.Cut(version, "\n")
	put(t, filepath.Join(folder, "go.mod"), fmt.Sprintf("module example.com/books\n\ngo %s\n\nrequire github.com/transom-gateway/transom v0.0.0\n\n"+
		"replace github.com/transom-gateway/transom => %s\n\nrequire%s\n", version, root, requires))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(folder, "go.sum"), string(sums))
	return folder
}

// inModule runs a command of Go in a module, with the modules that are there: nothing is
// fetched.
func inModule(t *testing.T, folder string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	command.Stderr = t.Output()
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
