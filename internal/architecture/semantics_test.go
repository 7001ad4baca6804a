package architecture

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateSemantics = flag.Bool("update-semantics", false, "write into docs/semantics.md the tests of decisions that have no line of them")

const semanticsPage = "../../docs/semantics.md"

var (
	// citation is how code and tests cite decisions: "Semantics 38", "Semantics 29,
	// 44" or "Traffic 172 and 173".
	citation = regexp.MustCompile(`((?i:semantics|traffic|surface)|Events) ?([0-9]+(?:(?:, | and )[0-9]+)*)`)
	number   = regexp.MustCompile(`[0-9]+`)
	decision = regexp.MustCompile(`^### ((?:Traffic|Surface|Events) )?([0-9]+)\. `)
	testLink = regexp.MustCompile(`\[([A-Za-z0-9_./]+)\]\(\.\./([^)]+)\)`)
)

// TestSemantics holds docs/semantics.md and the tests together: each decision names
// tests that are there and cite it, and no code cites a decision that the page does
// not have.
func TestSemantics(t *testing.T) {
	cited, tests := citations(t)
	decisions, page := readDecisions(t)
	for name, places := range cited {
		if _, ok := decisions[name]; !ok {
			t.Errorf("%s cites %s, which docs/semantics.md does not have", places[0], name)
		}
	}
	for name, links := range decisions {
		if len(tests[name]) == 0 {
			t.Errorf("no test cites %s", name)
			continue
		}
		if len(links) == 0 && !*updateSemantics {
			t.Errorf("docs/semantics.md: no line \"Tests: …\" at %s; go test ./internal/architecture -update-semantics writes one", name)
		}
		for _, link := range links {
			if !slices.Contains(tests[name], link) {
				t.Errorf("docs/semantics.md says of %s that %s in %s holds it, which is not there or does not cite it", name, link.name, link.file)
			}
		}
	}
	if *updateSemantics {
		writeTests(t, page, decisions, tests)
	}
}

// heldBy is a test function, or a whole file where the citation stands outside of one,
// and the file, relative to the repository.
type heldBy struct{ name, file string }

// citations finds who cites which decision: all places by decision, and the tests
// among them.
func citations(t *testing.T) (places map[string][]string, tests map[string][]heldBy) {
	t.Helper()
	places, tests = map[string][]string{}, map[string][]heldBy{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || entry.Name() == "semantics_test.go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		for _, found := range citation.FindAllSubmatchIndex(source, -1) {
			for _, name := range namesOf(string(source[found[2]:found[3]]), string(source[found[4]:found[5]])) {
				places[name] = append(places[name], file)
				if strings.HasSuffix(file, "_test.go") {
					by := heldBy{name: functionAt(t, path, source, found[0]), file: file}
					if !slices.Contains(tests[name], by) {
						tests[name] = append(tests[name], by)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return places, tests
}

// namesOf gives "Semantics 29, 44" as "29" and "44", "Traffic 172" as "Traffic 172".
func namesOf(series, numbers string) []string {
	names := number.FindAllString(numbers, -1)
	if strings.EqualFold(series, "surface") {
		for i, n := range names {
			names[i] = "Surface " + n
		}
	}
	if series == "Events" {
		// The first is 120. "Events 1" is what generated code says of a field.
		names = slices.DeleteFunc(names, func(n string) bool { return len(n) < 3 })
		for i, n := range names {
			names[i] = "Events " + n
		}
	}
	if strings.EqualFold(series, "traffic") {
		for i, n := range names {
			names[i] = "Traffic " + n
		}
	}
	return names
}

// functionAt is the test whose body or comment has the offset, or else the file's name.
func functionAt(t *testing.T, path string, source []byte, offset int) string {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, path, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range parsed.Decls {
		function, ok := declared.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(function.Name.Name, "Test") && !strings.HasPrefix(function.Name.Name, "Fuzz") {
			continue
		}
		from := function.Pos()
		if function.Doc != nil {
			from = function.Doc.Pos()
		}
		if set.Position(from).Offset <= offset && offset < set.Position(function.End()).Offset {
			return function.Name.Name
		}
	}
	return filepath.Base(path)
}

// readDecisions reads the page: the tests that each decision names, and the page's lines.
func readDecisions(t *testing.T) (decisions map[string][]heldBy, lines []string) {
	t.Helper()
	text, err := os.ReadFile(semanticsPage)
	if err != nil {
		t.Fatal(err)
	}
	decisions = map[string][]heldBy{}
	lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	current := ""
	for i, line := range lines {
		if heading := decision.FindStringSubmatch(line); heading != nil {
			current = heading[1] + heading[2]
			if _, twice := decisions[current]; twice {
				t.Errorf("docs/semantics.md:%d: %s stands twice", i+1, current)
			}
			decisions[current] = nil
		}
		for _, link := range testLink.FindAllStringSubmatch(line, -1) {
			if current != "" && strings.HasPrefix(line, "Tests: ") {
				decisions[current] = append(decisions[current], heldBy{link[1], link[2]})
			}
		}
	}
	if len(decisions) < 80 {
		t.Fatalf("docs/semantics.md: %d decisions were read", len(decisions))
	}
	return decisions, lines
}

// testsNamed is how many tests the page names for a decision at most.
const testsNamed = 2

// writeTests adds a line "Tests: …" to each decision without one, or whose tests have moved.
func writeTests(t *testing.T, lines []string, decisions map[string][]heldBy, tests map[string][]heldBy) {
	t.Helper()
	var out []string
	current := ""
	end := func() {
		if current == "" {
			return
		}
		for len(out) > 0 && out[len(out)-1] == "" {
			out = out[:len(out)-1]
		}
		if line := testsLine(decisions[current], tests[current]); line != "" {
			out = append(out, "", line)
		}
		out = append(out, "")
		current = ""
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "#") {
			end()
		}
		if heading := decision.FindStringSubmatch(line); heading != nil {
			current = heading[1] + heading[2]
		}
		if current == "" || !strings.HasPrefix(line, "Tests: ") {
			out = append(out, line)
		}
	}
	end()
	text := strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n"
	if err := os.WriteFile(semanticsPage, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testsLine keeps those tests of a decision that still hold it, also where they have moved
// to another file. Where none is left it takes others, test functions before whole files.
func testsLine(named, holding []heldBy) string {
	var kept []heldBy
	for _, by := range named {
		if !slices.Contains(holding, by) {
			moved := slices.IndexFunc(holding, func(h heldBy) bool { return h.name == by.name && !slices.Contains(named, h) })
			if moved < 0 {
				continue
			}
			by = holding[moved]
		}
		kept = append(kept, by)
	}
	if len(kept) == 0 {
		kept = slices.SortedStableFunc(slices.Values(holding), func(a, b heldBy) int {
			return strings.Compare(fmt.Sprint(strings.HasSuffix(a.name, ".go")), fmt.Sprint(strings.HasSuffix(b.name, ".go")))
		})
		kept = kept[:min(len(kept), testsNamed)]
	}
	links := map[string]bool{}
	for _, by := range kept {
		links[fmt.Sprintf("[%s](../%s)", by.name, by.file)] = true
	}
	if len(links) == 0 {
		return ""
	}
	return "Tests: " + strings.Join(slices.Sorted(maps.Keys(links)), ", ")
}

func TestTestsLine(t *testing.T) {
	a, b, c := heldBy{"TestA", "x/a_test.go"}, heldBy{"TestB", "x/b_test.go"}, heldBy{"TestC", "x/c_test.go"}
	moved := heldBy{"TestB", "y/b_test.go"}
	file := heldBy{"d_test.go", "x/d_test.go"}
	for _, test := range []struct {
		name           string
		named, holding []heldBy
		want           string
	}{
		{"both are there", []heldBy{a, b}, []heldBy{c, b, a}, "Tests: [TestA](../x/a_test.go), [TestB](../x/b_test.go)"},
		{"one has moved", []heldBy{a, b}, []heldBy{a, c, moved}, "Tests: [TestA](../x/a_test.go), [TestB](../y/b_test.go)"},
		{"one is gone", []heldBy{a, b}, []heldBy{a, c}, "Tests: [TestA](../x/a_test.go)"},
		{"all are gone", []heldBy{b}, []heldBy{file, a, c}, "Tests: [TestA](../x/a_test.go), [TestC](../x/c_test.go)"},
		{"nobody holds it", []heldBy{b}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := testsLine(test.named, test.holding); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
