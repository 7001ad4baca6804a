package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// codeSpan is what CONTRIBUTING.md sets in code.
var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// TestContributingNamesWhatIsThere: where CONTRIBUTING.md says that a thing goes, there is
// something.
func TestContributingNamesWhatIsThere(t *testing.T) {
	top := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(top, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, span := range codeSpan.FindAllStringSubmatch(string(text), -1) {
		first, _, below := strings.Cut(span[1], "/")
		if !below || strings.ContainsAny(span[1], " *") || first == "" {
			continue // no path
		}
		switch span[1] {
		case "bin/", "testdata/fuzz", "events/": // made by make, in many folders, and not there yet
			continue
		}
		checked++
		if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(span[1]))); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", span[1], err)
		}
	}
	if checked < 30 {
		t.Errorf("%d paths were found, far fewer than there are", checked)
	}
}
