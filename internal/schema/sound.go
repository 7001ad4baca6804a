package schema

import (
	"path"
	"slices"

	"github.com/bufbuild/protocompile/experimental/ir"
	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/seq"
)

// sound finds the texts without an error that import no text with one, however
// far away. They can be compiled again without the others, so that people see
// what is wrong with their rules and policies, too. There are none where an error
// belongs to no file: it may be anybody's.
func (d *diagnosis) sound(found *report.Report, texts []sourceText) []sourceText {
	named := make(map[string]string, len(texts)) // import paths by what the user typed
	unsound := make(map[string]bool)
	for _, text := range texts {
		named[text.file] = text.path
		unsound[text.path] = true // until the compiler is seen to have understood it
	}
	imports := make(map[string][]string, len(d.files))
	for _, file := range d.files {
		delete(unsound, file.Path())
		imports[file.Path()] = importsOf(file)
	}
	for _, diagnostic := range found.Diagnostics {
		if diagnostic.Level() > report.Error {
			continue
		}
		at, known := named[diagnostic.File()]
		if !known {
			return nil
		}
		unsound[at] = true
	}
	return slices.DeleteFunc(slices.Clone(texts), func(text sourceText) bool {
		for imported := range reachable(imports, text.path) {
			if unsound[imported] {
				return true
			}
		}
		return false
	})
}

// importsOf are the paths that a file imports: those of the compiler, which knows
// what the built-in files import, and those of the text, for it leaves out what it
// does not understand.
func importsOf(file *ir.File) []string {
	var paths []string
	for imported := range seq.Values(file.TransitiveImports()) {
		paths = append(paths, imported.Path())
	}
	for statement := range file.AST().Imports() {
		if literal := statement.ImportPath().AsLiteral().AsString(); !literal.IsZero() {
			paths = append(paths, path.Clean(literal.Text()))
		}
	}
	return paths
}
