package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/transom-gateway/transom/internal/nearest"
)

// diagnosis turns the report of the compiler into problems. The compiler draws
// its explanations under an excerpt of the source; here each becomes one line,
// with what the schema itself can tell about a name that was not found.
type diagnosis struct {
	root    string
	opener  *sourceOpener
	files   []*understoodFile      // as far as they were understood
	byFile  map[string]*sourceFile // by the name that the user typed
	imports map[string][]string    // by import path, as they stand in the text
	symbols *symbolIndex           // of files, made when first needed
	cyclic  bool                   // files import each other in a circle
	texts   []sourceText           // what was compiled
	missing map[string][]string    // by import path, the imports that are nowhere
}

// The compiler has no tags for these.
const (
	missingImport = "imported file does not exist"
	importCycle   = "detected cyclic import"
	unknownField  = "cannot resolve message field name"
)

func newDiagnosis(root string, opener *sourceOpener, files []*understoodFile) *diagnosis {
	d := &diagnosis{
		root:    root,
		opener:  opener,
		files:   files,
		byFile:  make(map[string]*sourceFile, len(opener.files)),
		imports: make(map[string][]string, len(files)),
	}
	for _, file := range opener.files {
		d.byFile[file.Path()] = file
	}
	for _, file := range files {
		for statement := range file.AST().Imports() {
			d.imports[file.Path()] = append(d.imports[file.Path()], quoted(statement.Span().Text()))
		}
	}
	return d
}

// problems reports every error of the compiler.
func (d *diagnosis) problems(found *findings) Problems {
	found, texts, problems := worthwhile(found)
	explained := explanations(found)
	d.cyclic = slices.ContainsFunc(found.Diagnostics, isCycle)
	d.findMissing(found)
	imports, units := missingImports{}, unitsOfDurations(found, explained)
	unsaid := map[string]bool{} // files that do not say their syntax
	for i := range found.Diagnostics {
		diagnostic := &found.Diagnostics[i]
		if isCycle(*diagnostic) || units[i] {
			continue
		}
		problem, ok := d.problem(diagnostic, explained[i])
		problem.Message = cmp.Or(texts[i], problem.Message)
		switch {
		case !ok:
		case texts[i] == "" && isUnlabelled(diagnostic) && !saysSyntax(diagnostic.Primary().File):
			if !unsaid[problem.File] {
				problems = append(problems, Problem{File: problem.File, Line: 1, Column: 1, Message: withoutSyntax})
			}
			unsaid[problem.File] = true
		case diagnostic.Message() == missingImport:
			imports.add(quoted(diagnostic.Primary().Text()), problem)
		default:
			problems = append(problems, problem)
		}
	}
	problems = append(problems, imports.problems()...)
	if d.cyclic {
		problems = append(problems, d.cycles()...)
	}
	if len(problems) == 0 {
		// Nothing of the above may let a broken schema pass in silence.
		problems = Problems{{File: d.root, Message: found.Diagnostics[0].Message()}}
	}
	return problems.Sorted()
}

func isCycle(diagnostic finding) bool {
	return strings.HasPrefix(diagnostic.Message(), importCycle)
}

// problem says one thing the compiler found; ok is false if it is no more than
// what another problem leads to.
func (d *diagnosis) problem(diagnostic *finding, explained []explanation) (problem Problem, ok bool) {
	// The compiler forgets the file of a few problems.
	problem = Problem{File: cmp.Or(diagnostic.File(), d.root), Message: diagnostic.Message()}
	at := diagnostic.Primary()
	if !at.IsZero() {
		start := at.Location(at.Start, inRunes)
		problem.Line, problem.Column = start.Line, start.Column
	}
	switch {
	case diagnostic.Level() == levelDefect:
		problem.Message += " (a defect of the proto compiler, not of your file)"
	case problem.Message == missingImport:
		problem.Message = d.missingImport(at.Text())
	case diagnostic.Tag() == unknownSymbol:
		names := candidates(diagnostic)
		if d.cyclic && d.imported(names, at.File) {
			return problem, false // the compiler cut the circle at this import
		}
		if d.mayBeMissing(names, at.File) {
			return problem, false
		}
		problem.Message += cmp.Or(d.index().suggest(names, d.importedBy(at.File)), d.related(diagnostic, explained))
	case strings.HasPrefix(problem.Message, unknownField):
		problem.Message = d.unknownField(quotedName(problem.Message), at.Text())
	default:
		problem.Message += d.explain(explained) + hints(diagnostic) + forgottenColon(diagnostic)
		if isNoDuration(explained) {
			problem.Message += durationHint(at.Text())
		}
	}
	return problem, true
}

// imported reports whether a file declares one of the names that is imported.
func (d *diagnosis) imported(names []string, by *sourceFile) bool {
	paths := d.importedBy(by)
	return slices.ContainsFunc(names, func(name string) bool { return paths[d.index().files[name]] })
}

// related is what the compiler knows of a name that the rules of lookup hide.
func (d *diagnosis) related(diagnostic *finding, explained []explanation) string {
	others := slices.DeleteFunc(slices.Clone(explained), func(e explanation) bool { return e.primary })
	text := d.explain(others)
	for _, note := range diagnostic.Notes() {
		text += "; " + note
	}
	return text
}

// unknownField says what may have been meant by the name of a field in an option.
func (d *diagnosis) unknownField(message, written string) string {
	name := identifier(written)
	fields := d.index().fields(message)
	text := fmt.Sprintf("`%s` has no field `%s`", message, name)
	if near := nearest.Of(fields, name); near != "" {
		return fmt.Sprintf("%s; did you mean `%s`?", text, near)
	}
	if len(fields) == 0 {
		return text
	}
	return fmt.Sprintf("%s; it has %s", text, strings.Join(fields, ", "))
}

// identifier is the name that a text begins with.
func identifier(text string) string {
	name := strings.TrimSpace(text)
	if end := strings.IndexFunc(name, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }); end >= 0 {
		name = name[:end]
	}
	return name
}

// cycles names the files that import each other in a circle. Where the compiler
// cuts such a circle is a matter of chance.
func (d *diagnosis) cycles() Problems {
	var problems Problems
	for _, cycle := range importCycles(d.imports) {
		next := cycle[1%len(cycle)]
		problem := Problem{
			File:    d.opener.files[cycle[0]].Path(),
			Message: "import cycle: " + strings.Join(append(cycle, cycle[0]), " imports "),
		}
		problem.Line, problem.Column = d.importStatement(cycle[0], next)
		problems = append(problems, problem)
	}
	return problems
}

// importStatement is the place where one file imports another.
func (d *diagnosis) importStatement(path, imported string) (line, column int) {
	for _, file := range d.files {
		if file.Path() != path {
			continue
		}
		for statement := range file.AST().Imports() {
			if span := statement.Span(); quoted(span.Text()) == imported {
				at := span.Location(span.Start, inRunes)
				return at.Line, at.Column
			}
		}
	}
	return 0, 0
}

// missingImport says what may have been meant by an import statement.
func (d *diagnosis) missingImport(statement string) string {
	path := quoted(statement)
	if path == "" {
		return "imports a file that does not exist"
	}
	return fmt.Sprintf("imports %q, which is neither in %s nor built in: %s", path, d.root, suggestImport(path, d.root, d.texts))
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
func candidates(diagnostic *finding) []string {
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

// importedBy are the paths that a file imports, its own among them.
func (d *diagnosis) importedBy(file *sourceFile) map[string]bool {
	paths := make(map[string]bool)
	for path, imported := range d.imports {
		if d.opener.files[path] != file {
			continue
		}
		paths[path] = true
		for _, path := range imported {
			paths[path] = true
		}
	}
	return paths
}

// index knows what the user's files declare.
func (d *diagnosis) index() *symbolIndex {
	if d.symbols == nil {
		d.symbols = newSymbolIndex()
		for _, file := range d.files {
			for symbol := range valuesOf(file.ExportedSymbols()) {
				switch symbol.Kind() {
				case fieldSymbol:
					d.symbols.addField(string(symbol.FullName()))
				case messageSymbol, enumSymbol, extensionSymbol:
					d.symbols.add(string(symbol.FullName()), file.Path())
				}
			}
		}
	}
	return d.symbols
}
