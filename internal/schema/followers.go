package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/nearest"
)

// maxErrorsPerFile bounds what is reported of one file: nobody reads on, and what
// follows is often a consequence.
const maxErrorsPerFile = 100

// worthwhile is the part of a report that people need: of each broken statement the
// first error, of each file no more than maxErrorsPerFile. texts are other words for
// some, by index; more says of each file what is left out.
func worthwhile(found *findings) (kept *findings, texts map[int]string, more Problems) {
	kept, texts = &findings{Options: found.Options}, map[int]string{}
	byFile := map[string][]int{}
	for i := range found.Diagnostics {
		d := &found.Diagnostics[i]
		switch {
		case d.Level() > levelError:
		case d.Level() == levelDefect, d.Message() == missingImport, isCycle(*d), d.Primary().IsZero():
			kept.Diagnostics = append(kept.Diagnostics, *d)
		default:
			byFile[d.Primary().Path()] = append(byFile[d.Primary().Path()], i)
		}
	}
	for file, errors := range byFile {
		slices.SortStableFunc(errors, func(a, b int) int {
			return cmp.Compare(found.Diagnostics[a].Primary().Start, found.Diagnostics[b].Primary().Start)
		})
		all := oneOfEach(found, errors)
		for _, e := range all[:min(maxErrorsPerFile, len(all))] {
			texts[len(kept.Diagnostics)] = e.text
			kept.Diagnostics = append(kept.Diagnostics, found.Diagnostics[e.index])
		}
		if len(all) > maxErrorsPerFile {
			at := found.Diagnostics[all[maxErrorsPerFile].index].Primary()
			more = append(more, Problem{
				File: file, Line: at.Location(at.Start, inRunes).Line,
				Message: fmt.Sprintf("and %d more errors from here on; mend the first ones and look again", len(all)-maxErrorsPerFile),
			})
		}
	}
	return kept, texts, more
}

// fileError is an error to report, by its index, and what to say instead of the
// compiler's own words; "" for these.
type fileError struct {
	index int
	text  string
}

// oneOfEach takes the errors of one file, in its order, and leaves one of each
// statement that the parser does not understand: the others follow from it.
func oneOfEach(found *findings, errors []int) []fileError {
	isSyntax := func(i int) bool { return isSyntaxError(&found.Diagnostics[i]) }
	if !slices.ContainsFunc(errors, isSyntax) {
		kept := make([]fileError, len(errors))
		for n, i := range errors {
			kept[n] = fileError{index: i}
		}
		return kept
	}
	text := found.Diagnostics[errors[0]].Primary().File.Text()
	statements := statementsOf(text)
	broken := map[statement][]int{}
	var whole statement // the last broken one, which swallows what is within it
	for _, i := range errors {
		if at := found.Diagnostics[i].Primary().Start; isSyntax(i) && at >= whole.end {
			whole = innermost(statements, at)
			broken[whole] = nil
		}
	}
	var kept []fileError
	whole = statement{}
	for _, i := range errors {
		at := found.Diagnostics[i].Primary().Start
		if at < whole.end {
			broken[whole] = append(broken[whole], i)
			continue
		}
		if s := innermost(statements, at); s.end > 0 {
			if _, is := broken[s]; is {
				whole = s
				broken[s] = append(broken[s], i)
			}
		}
		kept = append(kept, fileError{index: i})
	}
	for s, all := range broken {
		n := slices.IndexFunc(kept, func(e fileError) bool { return len(all) > 0 && e.index == all[0] })
		if n < 0 {
			continue
		}
		if first := slices.IndexFunc(all, isSyntax); first >= 0 {
			kept[n].index = all[first]
		}
		var file bool
		if kept[n].text, file = plainSyntax(found, text[s.start:s.end], all); file {
			return kept[n : n+1] // what language it is in decides on everything else
		}
	}
	return kept
}

// isSyntaxError reports whether the parser did not understand a statement.
func isSyntaxError(d *finding) bool {
	return strings.HasPrefix(d.Message(), "unexpected ") || strings.HasPrefix(d.Message(), "missing ") ||
		strings.Contains(d.Message(), " appears to have ")
}

// declarations are the words that a declaration begins with.
var declarations = []string{"syntax", "edition", "package", "import", "option", "message", "enum", "service", "rpc", "extend",
	"oneof", "repeated", "optional", "required", "reserved", "extensions"}

// Where a declaration may stand, in the compiler's words, and what may stand there.
var expectedAt = []struct{ where, expected string }{
	{"within service definition", "`rpc` or `option` in a service"},
	{"at file scope", "`message`, `enum`, `service`, `extend`, `import` or `option` here"},
	{"within enum definition", "a name and its number, such as `NAME = 1;`, in an enum"},
}

// plainSyntax says what is wrong with a statement in plain words; "" where the
// compiler's are plain. wholeFile reports whether nothing else in the file can be
// judged.
func plainSyntax(found *findings, text string, errors []int) (plain string, wholeFile bool) {
	word := identifier(text)
	meant := nearest.Of(declarations, word)
	where, expected := "", ""
	returns := false
	for _, i := range errors {
		message := found.Diagnostics[i].Message()
		for _, e := range expectedAt {
			if where == "" && strings.HasSuffix(message, e.where) {
				where, expected = e.where, e.expected
			}
		}
		returns = returns || strings.HasPrefix(message, "missing method return type")
	}
	switch {
	case returns:
		for _, other := range strings.Fields(text)[:min(8, len(strings.Fields(text)))] {
			if near := nearest.Of([]string{"returns"}, identifier(other)); near != "" {
				return fmt.Sprintf("found `%s`, expected `returns (…)`; did you mean `returns`?", identifier(other)), false
			}
		}
		return "", false
	case word == "":
		return "", false
	case slices.Contains(declarations, word):
		if expected != "" {
			return fmt.Sprintf("found `%s`, expected %s", word, expected), false
		}
		return "", false
	case meant != "" && !isField(text):
		return fmt.Sprintf("found `%s`, expected a declaration; did you mean `%s`?", word, meant), meant == "syntax" || meant == "edition"
	case expected != "":
		return fmt.Sprintf("found `%s`, expected %s", word, expected), false
	case strings.HasPrefix(found.Diagnostics[errors[0]].Message(), "missing message field tag"):
		return "the field has no number; expected one, such as `= 1`, that no other field of the message has", false
	}
	return "", false
}

// isField reports whether a statement reads "type name = …": its first word is a type
// then, whatever it resembles.
func isField(text string) bool {
	head, _, found := strings.Cut(text, "=")
	return found && len(strings.Fields(head)) == 2
}
