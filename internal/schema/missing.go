package schema

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/regularfile"
)

// missingImports are the imports that are nowhere: one problem each, however many
// files have it.
type missingImports map[string]Problems

func (m missingImports) add(path string, p Problem) { m[path] = append(m[path], p) }

func (m missingImports) problems() Problems {
	var problems Problems
	for _, all := range m {
		all = all.Sorted()
		first := all[0]
		switch more := len(all) - 1; {
		case more == 1:
			first.Message += fmt.Sprintf(" (%s:%d imports it, too)", all[1].File, all[1].Line)
		case more > 1:
			first.Message += fmt.Sprintf(" (%d more imports of it are the same problem)", more)
		}
		problems = append(problems, first)
	}
	return problems
}

// findMissing notes which files have imports that are nowhere, be it by a public
// import of another file.
func (d *diagnosis) findMissing(found *findings) {
	d.missing = make(map[string][]string)
	own := make(map[string]string, len(d.texts)) // import paths by what the user typed
	for _, text := range d.texts {
		own[text.file] = text.path
	}
	for i := range found.Diagnostics {
		diagnostic := &found.Diagnostics[i]
		if diagnostic.Message() == missingImport && !diagnostic.Primary().IsZero() {
			path := own[diagnostic.File()]
			d.missing[path] = append(d.missing[path], quoted(diagnostic.Primary().Text()))
		}
	}
	if len(d.missing) == 0 {
		return
	}
	importers := make(map[string][]string)
	for path, imported := range d.imports {
		for _, i := range imported {
			importers[i] = append(importers[i], path)
		}
	}
	public := make(map[string]bool)
	for _, file := range d.files {
		for statement := range file.AST().Imports() {
			if strings.Contains(statement.Span().Text(), "public") {
				public[file.Path()+"\x00"+quoted(statement.Span().Text())] = true
			}
		}
	}
	// Who imports a file with a missing public import misses it as well.
	for path, absent := range maps.Clone(d.missing) {
		for _, missing := range absent {
			if public[path+"\x00"+missing] {
				for _, importer := range importers[path] {
					d.missing[importer] = append(d.missing[importer], missing)
				}
			}
		}
	}
}

// mayBeMissing reports whether a name that was not found may be declared in an
// import that is missing: then there is nothing to mend but the import.
func (d *diagnosis) mayBeMissing(names []string, in *sourceFile) bool {
	var absent []string
	for path, imports := range d.missing {
		if d.opener.files[path] == in {
			absent = imports
		}
	}
	if len(absent) == 0 {
		return false
	}
	for _, name := range names {
		declared := d.index().declaredIn(name)
		if declared == "" {
			continue
		}
		// Another file has it: that is one more problem, unless it is the same file by
		// another path.
		return slices.ContainsFunc(absent, func(missing string) bool {
			return filepath.Base(missing) == filepath.Base(declared)
		})
	}
	return true
}

// validateRules is the file of protoc-gen-validate.
const validateRules = "validate/validate.proto"

// suggestImport says what may have been meant by an import path that is nowhere:
// the same file under another folder, a path that is nearly the same, or what to
// do about it.
func suggestImport(path, root string, texts []sourceText) string {
	if below := fileBelow(path, texts); below != nil {
		folder := strings.TrimSuffix(below.file, filepath.FromSlash("/"+path))
		return fmt.Sprintf("imports are relative to %s, so write %q, or give the folder %q %s",
			root, below.path, folder, insteadOrAsWell(below, path, texts))
	}
	if folder := folderNearby(path, texts); folder != "" {
		return fmt.Sprintf("it is in the folder %q: give that folder as well, or instead if all imports are relative to it", folder)
	}
	paths := wellKnownPaths()
	for _, text := range texts {
		paths = append(paths, text.path)
	}
	slices.Sort(paths)
	for _, known := range paths {
		if strings.HasSuffix(path, "/"+known) {
			return fmt.Sprintf("imports are relative to %s, so write %q", root, known)
		}
	}
	if path == validateRules {
		return "it belongs to protoc-gen-validate, whose rules are not checked here: write the rules with \"buf/validate/validate.proto\" (protovalidate), " +
			"which is built in and checked; or give the folder that holds this file as well, then its rules are read and have no effect"
	}
	if near := nearest.Of(paths, path); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("give the folder that imports such as %q are relative to as well, or copy the file to that path below %s", path, root)
}

// fileBelow finds a file whose path ends with an import path.
func fileBelow(path string, texts []sourceText) *sourceText {
	for i := range texts {
		if strings.HasSuffix(texts[i].path, "/"+path) {
			return &texts[i]
		}
	}
	return nil
}

// insteadOrAsWell says whether a folder that resolves an import holds all files.
func insteadOrAsWell(below *sourceText, path string, texts []sourceText) string {
	prefix := strings.TrimSuffix(below.path, path)
	for _, text := range texts {
		if text.root == below.root && !strings.HasPrefix(text.path, prefix) {
			return "as well"
		}
	}
	return "instead"
}

// The bounds of the search for a folder outside of those that were given.
const (
	maxFoldersAbove  = 5
	maxFoldersBeside = 200
)

// folderNearby finds a folder that has a file of that import path: one above a
// folder that was given, or one beside these.
func folderNearby(path string, texts []sourceText) string {
	if !filepath.IsLocal(path) {
		return ""
	}
	stalled := false
	has := func(folder string) bool {
		if stalled {
			return false
		}
		info, err := regularfile.Stat(filepath.Join(folder, filepath.FromSlash(path)))
		stalled = errors.Is(err, regularfile.ErrStalled)
		return err == nil && info.Mode().IsRegular()
	}
	for _, root := range rootsOf(texts) {
		folder := root
		for range maxFoldersAbove {
			above := filepath.Join(folder, "..")
			if above == folder {
				break
			}
			if folder = above; has(folder) {
				return folder
			}
			entries, err := regularfile.ReadDir(folder)
			if err != nil {
				break
			}
			for _, entry := range entries[:min(len(entries), maxFoldersBeside)] {
				if beside := filepath.Join(folder, entry.Name()); entry.IsDir() && has(beside) {
					return beside
				}
			}
		}
	}
	return ""
}

// rootsOf are the folders that the texts come from.
func rootsOf(texts []sourceText) []string {
	var roots []string
	for _, text := range texts {
		if text.root != "" && !slices.Contains(roots, text.root) {
			roots = append(roots, text.root)
		}
	}
	return roots
}
