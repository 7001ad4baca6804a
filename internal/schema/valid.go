package schema

import (
	"maps"
	"path"
	"regexp"
	"slices"
)

// valid finds the texts without an error that import no text with one, however
// far away. They can be compiled again without the others, so that people see
// what is wrong with their rules and policies, too. There are none where an error
// belongs to no file: it may be anybody's.
func (d *diagnosis) valid(found *findings, texts []sourceText) []sourceText {
	named := make(map[string]string, len(texts)) // import paths by what the user typed
	invalid := make(map[string]bool)
	for _, text := range texts {
		named[text.file] = text.path
		invalid[text.path] = true // until the compiler is seen to have understood it
	}
	imports := make(map[string][]string, len(d.files))
	for _, file := range d.files {
		delete(invalid, file.Path())
		imports[file.Path()] = importsOf(file)
	}
	for _, diagnostic := range found.Diagnostics {
		if diagnostic.Level() > levelError {
			continue
		}
		at, known := named[diagnostic.File()]
		if !known {
			return nil
		}
		invalid[at] = true
	}
	return withoutTexts(texts, imports, invalid)
}

// withoutTexts leaves out the texts of some paths, and those that import them, however
// far away. The imports are given by path.
func withoutTexts(texts []sourceText, imports map[string][]string, paths map[string]bool) []sourceText {
	importers := make(map[string][]string, len(imports))
	for path, imported := range imports {
		for _, i := range imported {
			importers[i] = append(importers[i], path)
		}
	}
	out := maps.Clone(paths)
	for queue := slices.Collect(maps.Keys(paths)); len(queue) > 0; queue = queue[1:] {
		for _, importer := range importers[queue[0]] {
			if !out[importer] {
				out[importer] = true
				queue = append(queue, importer)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(texts), func(text sourceText) bool { return out[text.path] })
}

// importLine finds what looks like an import.
var importLine = regexp.MustCompile(`\bimport\s+(?:[a-z]+\s+)?["']([^"'\n]*)["']`)

// readable leaves out the texts that seem to import what could not be read: the
// compiler would say that it is not there.
func readable(texts []sourceText, unread map[string]bool) []sourceText {
	if len(unread) == 0 {
		return texts
	}
	imports := make(map[string][]string, len(texts))
	for _, text := range texts {
		for _, found := range importLine.FindAllStringSubmatch(text.text, -1) {
			imports[text.path] = append(imports[text.path], path.Clean(found[1]))
		}
	}
	return withoutTexts(texts, imports, unread)
}

// importsOf are the paths that a file imports: those of the compiler, which knows
// what the built-in files import, and those of the text, for it leaves out what it
// does not understand.
func importsOf(file *understoodFile) []string {
	var paths []string
	for imported := range valuesOf(file.TransitiveImports()) {
		paths = append(paths, imported.Path())
	}
	for statement := range file.AST().Imports() {
		if literal := statement.ImportPath().AsLiteral().AsString(); !literal.IsZero() {
			paths = append(paths, path.Clean(literal.Text()))
		}
	}
	return paths
}
