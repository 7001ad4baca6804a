package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// peculiar are the names of net/http that say how one server works. Requests and headers
// as plain data are not among them.
var peculiar = map[string]bool{
	"NewResponseController": true, "ResponseController": true, "Hijacker": true, "Flusher": true,
	"EnableFullDuplex": true, "ErrAbortHandler": true, "MaxBytesError": true, "MaxBytesReader": true,
	"ProtoMajor": true, "ProtoMinor": true, "ProtoAtLeast": true, "TrailerPrefix": true,
}

// TestOneAdapterOfNetHTTP: the edges speak to exchange.Exchange, so that another server can
// take the place of net/http's.
func TestOneAdapterOfNetHTTP(t *testing.T) {
	root := filepath.Join("..", "..", "transcoder")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "net_http.go" {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok || !peculiar[selector.Sel.Name] {
				return true
			}
			// The exchange has its own name for it, and so has an option of HeaderRules.
			if from, ok := selector.X.(*ast.Ident); !ok || from.Name != "exchange" && from.Name != "o" {
				t.Errorf("%s: %s is a peculiarity of net/http; transcoder/exchange/net_http.go is the place for it", files.Position(selector.Pos()), selector.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOneAdapterOfTheCompiler: the compiler's packages are experimental, so that one file
// alone, of all tests too, meets their changes.
func TestOneAdapterOfTheCompiler(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, path, d)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, filepath.Join("internal", "schema", "compiler.go")) {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if strings.Contains(spec.Path.Value, "protocompile/experimental") {
				t.Errorf("%s imports %s; internal/schema/compiler.go is the place for it", path, spec.Path.Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
