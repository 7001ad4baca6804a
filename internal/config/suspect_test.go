package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestSuspects: what is no YAML is told at the place where it goes wrong, which is marked by
// « here, with what to do.
func TestSuspects(t *testing.T) {
	for name, test := range map[string]struct{ text, hint string }{
		"a quote":                       {"a:\n  - { b: «\"1s } }\n  - { c: 1 }", "the quote here is not closed"},
		"a quote before others":         {"a:\n  - { b: «\"1s } }\n  - { c: \"1\" }", "the quote here is not closed"},
		"a single quote":                {"a: «'it''s\nb: c", "the quote here is not closed"},
		"a brace before entries":        {"a:\n  b: «{\nc:\n  - { d: 1 }", "the { here is not closed"},
		"a brace at the end":            {"a:\n  - «{ b: 1, c: { d: 1 }", "the { here is not closed"},
		"a brace in the middle":         {"a:\n  - «{ b: 1, c: { d: 1 }\n  - { b: 2 }\ne: 1", "the { here is not closed"},
		"a bracket":                     {"a: «[ 1, 2\nb: 1", "the [ here is not closed"},
		"another bracket":               {"a: { b: [ 1, 2 «} }", "found }, expected ] for the [ at 1:9"},
		"one bracket more":              {"a: { b: 1 }«}", `found "}" behind the end of the value`},
		"a variable":                    {"a:\n  - { b: 1, secret: «${SECRET} }", `text with { in it must be quoted, such as "${NAME}"`},
		"a space too little":            {"a:\n    b: 1\n   «c: 1", "is this line, or one above it, indented too far or not enough?"},
		"a space too much":              {"a:\n  - { b: 1 }\n   «- { b: 2 }", "is this line, or one above it, indented too far or not enough?"},
		"a space too much before a key": {"a:\n  - b: 1\n     «c: 1", "indented too far?"},
		"a tab":                         {"a:\n«\tb: 1", "indent with spaces, not tabs"},
		"no colon in a list":            {"a:\n  - «b 1\n    c: 1", "a colon and a space are missing behind the name"},
		"no colon":                      {"a: 1\n«b 1\nc: 1", `found "b 1", expected a name, a colon and a space`},
		"no space":                      {"a: 1\nb«:1", "a space is missing behind the colon"},
		"a colon in a text":             {"a:\n  b: c«: d", `Text with ": " in it must be quoted`},
		"a colon in braces":             {"a: { b: c«: d }", `a text with ": " in it must be quoted`},
		"no comma":                      {"a: { b: 1 c«: 2 }", "a comma is missing before the name"},
		"no comma behind a quote":       {"a: { b: \"1\" c«: 2 }", "a comma is missing before the name"},
		"no colon before a brace":       {"a: { b «{} }", "a colon or a comma is missing before the {"},
		"a question mark":               {"a:\n  - { b: c }\n  - { b: «/q?x=1, c: d }", "text with ? in it must be quoted"},
		"a question mark at the end":    {"a: [ b, «c? ]", "text with ? in it must be quoted"},
		"a star":                        {"a: { b: «*, c: 1 }", "text that begins with * must be quoted"},
		"a star alone":                  {"- a: «*\n", "text that begins with * must be quoted"},
		"a percent":                     {"a: «%b", "text that begins with % must be quoted"},
		"behind a quote":                {"a: \"b\" «c", `found "c" behind the end of the value`},
		"behind a text of lines":        {"a:\n  b: |\n    \" c: d: {\n\n  # e: \"\n  f: g«: h", `Text with ": " in it must be quoted`},
		"behind a long text":            {"a: b\n  c\n\nd: \"e\n  f: g\"\nh: [ \"i\", 'j', # {\n  k ]\nl: &m { n: *m }\no«:p", "a space is missing behind the colon"},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, _ := strings.Cut(test.text, "«")
			line, column := 1+strings.Count(before, "\n"), len(before)-strings.LastIndex(before, "\n")
			_, problems := Parse("a.yaml", []byte(before+after+"\n"), nil)
			if got := problems.Error(); !strings.HasPrefix(got, fmt.Sprintf("a.yaml:%d:%d: not YAML: ", line, column)) || !strings.Contains(got, test.hint) {
				t.Errorf("%s\nwant %d:%d %s", got, line, column, test.hint)
			}
		})
	}
}
