package architecture

import (
	"fmt"
	"go/ast"
	"path"
	"strconv"
	"strings"
	"testing"
)

// TestPublicPackagesLeakNothing: what a package outside of internal exports is made of
// types that its users can name. Type by type: an alias or a type of its own in its place
// is a name of its own.
func TestPublicPackagesLeakNothing(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !s.main || s.file.Name.Name == "main" || strings.HasPrefix(s.dir, "internal/") || strings.Contains(s.dir, "/internal/") {
			continue
		}
		for _, leak := range leaks(&s) {
			t.Error(leak)
		}
	}
}

// leaks are the uses of internal types in what a file exports.
func leaks(s *source) []string {
	hidden := map[string]string{} // imports that users cannot make, by the name in the file
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !strings.HasPrefix(imported, module+"/") || !strings.Contains(imported, "/internal/") {
			continue
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		hidden[name] = imported
	}
	var found []string
	look := func(what string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := selector.X.(*ast.Ident); ok && hidden[of.Name] != "" {
				found = append(found, fmt.Sprintf("%s: %s has %s.%s, which nobody outside can name", s.set.Position(n.Pos()), what, of.Name, selector.Sel.Name))
			}
			return true
		})
	}
	for _, d := range s.file.Decls {
		lookAt(d, look)
	}
	return found
}

// lookAt shows look what of a declaration others can see, with its name.
func lookAt(d ast.Decl, look func(what string, n ast.Node)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
			look(d.Name.Name, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					lookAtType(spec, look)
				}
			case *ast.ValueSpec:
				if spec.Type != nil && spec.Names[0].IsExported() {
					look(spec.Names[0].Name, spec.Type)
				}
			}
		}
	}
}

func lookAtType(spec *ast.TypeSpec, look func(what string, n ast.Node)) {
	var fields *ast.FieldList
	switch body := spec.Type.(type) {
	case *ast.StructType:
		fields = body.Fields
	case *ast.InterfaceType:
		fields = body.Methods
	default:
		if !spec.Assign.IsValid() { // an alias gives a name
			look(spec.Name.Name, spec.Type)
		}
		return
	}
	for _, f := range fields.List {
		if len(f.Names) == 0 || f.Names[0].IsExported() {
			name := spec.Name.Name
			if len(f.Names) > 0 {
				name += "." + f.Names[0].Name
			}
			look(name, f.Type)
		}
	}
}

// exportedReceiver reports whether a method is of an exported type.
func exportedReceiver(recv *ast.FieldList) bool {
	exported := false
	ast.Inspect(recv.List[0].Type, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok && !exported {
			exported = name.IsExported()
			return false
		}
		return true
	})
	return exported
}
