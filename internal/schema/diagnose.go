package schema

import (
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile/experimental/ir"
	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/report/rtags"
	"github.com/bufbuild/protocompile/experimental/seq"
	"github.com/bufbuild/protocompile/experimental/source"
	"github.com/bufbuild/protocompile/experimental/source/length"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// diagnosis turns the report of the compiler into problems. The compiler draws
// its explanations under an excerpt of the source; here each becomes one line,
// with what the schema itself can tell about a name that was not found.
type diagnosis struct {
	root    string
	opener  *sourceOpener
	files   []*ir.File              // as far as they could be understood
	byFile  map[string]*source.File // by the name that the user typed
	symbols *symbolIndex            // of files, made when first needed
}

// diagnose reports every error of the compiler; what it warns of is style, and
// the business of a linter.
func diagnose(root string, opener *sourceOpener, found *report.Report, files []*ir.File) Problems {
	d := diagnosis{root: root, opener: opener, files: files, byFile: make(map[string]*source.File, len(opener.files))}
	for _, file := range opener.files {
		d.byFile[file.Path()] = file
	}
	explained := explanations(found)
	var problems Problems
	for i := range found.Diagnostics {
		diagnostic := &found.Diagnostics[i]
		if diagnostic.Level() > report.Error {
			continue
		}
		if d.symbols == nil && diagnostic.Tag() == rtags.UnknownSymbol {
			d.symbols = indexSymbols(files)
		}
		problems = append(problems, d.problem(diagnostic, explained[i]))
	}
	return problems.sorted()
}

// problem says one thing the compiler found.
func (d *diagnosis) problem(diagnostic *report.Diagnostic, explained []explanation) Problem {
	problem := Problem{File: diagnostic.File(), Message: diagnostic.Message()}
	at := diagnostic.Primary()
	if !at.IsZero() {
		start := at.Location(at.Start, length.Runes)
		problem.Line, problem.Column = start.Line, start.Column
	}
	switch {
	case diagnostic.Level() == report.ICE:
		problem.Message += " (a defect of the proto compiler, not of your file)"
	case diagnostic.Message() == missingImport:
		problem.Message = d.missingImport(at.Text())
	case diagnostic.Tag() == rtags.UnknownSymbol:
		problem.Message += d.symbols.suggest(candidates(diagnostic), d.imports(at.File))
	default:
		problem.Message += d.explain(explained) + hints(diagnostic)
	}
	return problem
}

// missingImport is what the compiler calls an import of a file that is nowhere.
// It has no tag for it.
const missingImport = "imported file does not exist"

// missingImport says what may have been meant by an import statement.
func (d *diagnosis) missingImport(statement string) string {
	path := quoted(statement)
	if path == "" {
		return "imports a file that does not exist"
	}
	paths := make([]string, 0, len(d.opener.files))
	for path := range d.opener.files {
		paths = append(paths, path)
	}
	return fmt.Sprintf("imports %q, which is neither in %s nor built in: %s", path, d.root, suggestImport(path, d.root, paths))
}

// quoted is the text between the first and the last quote.
func quoted(statement string) string {
	start := strings.IndexAny(statement, `"'`)
	end := strings.LastIndexAny(statement, `"'`)
	if start < 0 || end <= start {
		return ""
	}
	return statement[start+1 : end]
}

// candidates are the full names that an unknown name may stand for, the innermost
// scope first. The compiler notes them for its own authors.
func candidates(diagnostic *report.Diagnostic) []string {
	var names []string
	for _, line := range diagnostic.Debug() {
		if name, ok := strings.CutPrefix(line, "candidate: `"); ok {
			names = append(names, strings.TrimSuffix(name, "`"))
		}
	}
	if len(names) == 0 {
		names = append(names, quotedName(diagnostic.Message()))
	}
	return names
}

// quotedName is what stands between the first two backquotes.
func quotedName(message string) string {
	_, rest, _ := strings.Cut(message, "`")
	name, _, _ := strings.Cut(rest, "`")
	return name
}

// hints are the compiler's suggestions, in one line.
func hints(diagnostic *report.Diagnostic) string {
	var b strings.Builder
	for _, help := range diagnostic.Help() {
		if !strings.Contains(b.String(), help) {
			b.WriteString("; ")
			b.WriteString(help)
		}
	}
	return b.String()
}

// explanation is what the compiler writes under one place of an excerpt.
type explanation struct {
	file    string
	start   int // in bytes
	message string
	primary bool
	edits   bool
}

// explanations are those of each diagnostic. The report gives them out only in
// its protobuf form, whose type is internal to the compiler.
func explanations(found *report.Report) [][]explanation {
	message := found.ToProto().ProtoReflect()
	paths := listOf(message, "files")
	diagnostics := listOf(message, "diagnostics")
	all := make([][]explanation, len(found.Diagnostics))
	for i := range min(diagnostics.Len(), len(all)) {
		annotations := listOf(diagnostics.Get(i).Message(), "annotations")
		for j := range annotations.Len() {
			annotation := annotations.Get(j).Message()
			file := paths.Get(int(valueOf(annotation, "file").Uint())).Message()
			all[i] = append(all[i], explanation{
				file:    valueOf(file, "path").String(),
				start:   int(valueOf(annotation, "start").Uint()),
				message: valueOf(annotation, "message").String(),
				primary: valueOf(annotation, "primary").Bool(),
				edits:   listOf(annotation, "edits").Len() > 0,
			})
		}
	}
	return all
}

func listOf(message protoreflect.Message, field protoreflect.Name) protoreflect.List {
	return valueOf(message, field).List()
}

func valueOf(message protoreflect.Message, field protoreflect.Name) protoreflect.Value {
	return message.Get(message.Descriptor().Fields().ByName(field))
}

// explain adds what the compiler wrote under the place itself, and the other
// places that it points to.
func (d *diagnosis) explain(explained []explanation) string {
	var b strings.Builder
	for _, e := range explained {
		switch {
		case e.message == "" || e.edits:
		case e.primary:
			fmt.Fprintf(&b, ": %s", e.message)
		case d.byFile[e.file] != nil:
			at := d.byFile[e.file].Location(e.start, length.Runes)
			fmt.Fprintf(&b, "; %s:%d:%d: %s", e.file, at.Line, at.Column, e.message)
		}
	}
	return b.String()
}

// imports are the paths that a file imports, its own among them.
func (d *diagnosis) imports(of *source.File) map[string]bool {
	paths := make(map[string]bool)
	for _, file := range d.files {
		if file == nil || d.opener.files[file.Path()] != of {
			continue
		}
		paths[file.Path()] = true
		for imported := range seq.Values(file.Imports()) {
			paths[imported.Path()] = true
		}
	}
	return paths
}

// indexSymbols collects what the user's files declare, as far as the compiler
// understood them.
func indexSymbols(files []*ir.File) *symbolIndex {
	index := newSymbolIndex()
	for _, file := range files {
		if file == nil {
			continue
		}
		for symbol := range seq.Values(file.ExportedSymbols()) {
			if symbol.Kind().IsType() || symbol.Kind() == ir.SymbolKindExtension {
				index.add(string(symbol.FullName()), file.Path())
			}
		}
	}
	return index
}
