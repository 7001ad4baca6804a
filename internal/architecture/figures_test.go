package architecture

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The figures that keep the code readable a piece at a time. Generated code has none.
const (
	maxFileLines = 500
	// maxRoomLines is for a folder below policy without its tests.
	maxRoomLines = 1500
	maxExported  = 50
	// Of the functions without tests, 95 of 100 have at most mostLines, and maxLong of
	// all have more than longLines.
	mostLines, longLines, maxLong = 30, 60, 3
)

// source is one file.
type source struct {
	dir, name string // from the top of the repository
	lines     int
	test      bool
	main      bool // of the module at the top
	file      *ast.File
	set       *token.FileSet
}

// sources reads all code that people write.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	top := filepath.Join("..", "..")
	other := map[string]bool{} // folders of other modules
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != top && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			other[file] = file != top && (err == nil || other[filepath.Dir(file)])
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || ast.IsGenerated(parsed) {
			return err
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		all = append(all, source{
			dir: path.Dir(name), name: name, lines: bytes.Count(text, []byte("\n")), test: strings.HasSuffix(name, "_test.go"),
			main: !other[filepath.Dir(file)], file: parsed, set: set,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFigures holds sizes: of files, of a policy's folder, of what a package exports, of
// functions.
func TestFigures(t *testing.T) {
	rooms, exported := map[string]int{}, map[string]int{}
	var functions []function
	for _, s := range sources(t) {
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines; split it by subject, %d are the most", s.name, s.lines, maxFileLines)
		}
		if s.test || !s.main {
			continue
		}
		if strings.HasPrefix(s.dir, "policy/") {
			rooms[s.dir] += s.lines
		}
		exported[s.dir] += exports(s.file)
		functions = append(functions, s.functions()...)
	}
	for in, lines := range rooms {
		if lines > maxRoomLines {
			t.Errorf("%s has %d lines; %d are the most for a folder of a policy", in, lines, maxRoomLines)
		}
	}
	for dir, names := range exported {
		if names > maxExported {
			t.Errorf("%s exports %d names; %d are the most", dir, names, maxExported)
		}
	}
	slices.SortFunc(functions, func(a, b function) int { return cmp.Compare(b.lines, a.lines) })
	if p95 := functions[len(functions)/20]; p95.lines > mostLines {
		t.Errorf("95 of 100 functions have up to %d lines, more than %d", p95.lines, mostLines)
	}
	for _, long := range functions[maxLong:] {
		if long.lines <= longLines {
			break
		}
		t.Errorf("%s has %d lines; %d functions of the project may have more than %d", long.name, long.lines, maxLong, longLines)
	}
}

// function is one, with the lines of its declaration.
type function struct {
	name  string
	lines int
}

func (s *source) functions() []function {
	var all []function
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			from, to := s.set.Position(f.Pos()), s.set.Position(f.End())
			all = append(all, function{s.name + ": " + f.Name.Name, to.Line - from.Line + 1})
		}
	}
	return all
}

// exports counts the names that a file exports, without methods and fields.
func exports(file *ast.File) int {
	if file.Name.Name == "main" {
		return 0
	}
	count := 0
	add := func(name *ast.Ident) {
		if name.IsExported() {
			count++
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add(name)
					}
				}
			}
		}
	}
	return count
}
