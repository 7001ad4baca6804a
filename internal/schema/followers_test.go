package schema

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManyErrors: of a file with thousands of wrong lines the first errors are told,
// and how many more there are (Semantics 316).
func TestManyErrors(t *testing.T) {
	const n = 3000
	for name, line := range map[string]string{
		"syntax": "  string a = 1 foo bar;\n",
		"names":  "  Unknown a = 1;\n",
		"nested": "  message N { string a 1; }\n",
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			text := "syntax = \"proto3\";\nmessage M {\n" + strings.Repeat(line, n) + "}\n"
			if err := os.WriteFile(filepath.Join(folder, "a.proto"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, problems := Directory(folder).Load(t.Context())
			if len(problems) != maxErrorsPerFile+1 {
				t.Fatalf("%d problems, want %d", len(problems), maxErrorsPerFile+1)
			}
			var more int
			last := problems[len(problems)-1]
			if _, err := fmt.Sscanf(last.Message, "and %d more errors from here on", &more); err != nil || more < n-maxErrorsPerFile || last.Line == 0 {
				t.Errorf("the last is %v", last)
			}
		})
	}
}

// TestStatements finds the innermost statement around each mark.
func TestStatements(t *testing.T) {
	for text, want := range map[string]string{
		"message M { string ^a = 1; }":                         "string ^a = 1;",
		"message ^M { string a = 1; }":                         "message ^M { string a = 1; }",
		"import \";}\"; ^enum E {} // ; }\nenum F {}":          "^enum E {}",
		"option (x) = { a: ^1 b: {} }; enum E {}":              "a: ^1 b: {}",
		"option ^(x) = { a: 1 }; enum E {}":                    "option ^(x) = { a: 1 };",
		"message M { F f = 1 [(x) = { a: 1 }, ^y]; F g = 2; }": "F f = 1 [(x) = { a: 1 }, ^y];",
		"} /* ; */ message M { string ^a":                      "string ^a",
		"message M ^{ string a":                                "message M ^{ string a",
		" ^ enum E {}":                                         "",
	} {
		at := strings.IndexByte(text, '^')
		bare := text[:at] + text[at+1:]
		got := innermost(statementsOf(bare), at)
		marked := ""
		if got.end > 0 {
			marked = bare[got.start:at] + "^" + bare[at:got.end]
		}
		if strings.TrimSpace(marked) != want {
			t.Errorf("%s: %q, want %q", text, marked, want)
		}
	}
}

// FuzzStatements: statements lie within the text, one within the other or apart.
func FuzzStatements(f *testing.F) {
	for _, text := range append(readFolder(f, "testdata/good"), readFolder(f, "testdata/broken/typos")...) {
		f.Add(text.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, s := range statementsOf(text) {
			if s.start < 0 || s.start >= s.end || s.end > len(text) || s.end < last {
				t.Errorf("%q: %v after %d", text, s, last)
			}
			last = s.end
		}
	})
}
