package httprule

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSelector(t *testing.T) {
	tests := []struct {
		selector, name string
		match          bool
		specificity    int
	}{
		{"*", "a.B.C", true, 0},
		{"a.*", "a.B.C", true, 1},
		{"a.*", "ab.C", false, 1},
		{"a.*", "a", false, 1},
		{"a.B.*", "a.B.C", true, 2},
		{"a.B.*", "a.B", false, 2},
		{"a.B.C", "a.B.C", true, 3},
		{"a.B.C", "a.B.CD", false, 3},
		{"a.B_1.c2", "a.B_1.c2", true, 3},
	}
	for _, test := range tests {
		s, err := ParseSelector(test.selector)
		if err != nil {
			t.Fatal(err)
		}
		if s.Match(test.name) != test.match || s.Specificity() != test.specificity || s.String() != test.selector {
			t.Errorf("%s: Match(%s) = %v, Specificity() = %d", s, test.name, s.Match(test.name), s.Specificity())
		}
	}
}

func TestSelectorsMatching(t *testing.T) {
	var selectors Selectors
	for _, text := range []string{"a.b.S.M", "*", "a.b.*", "a.*", "a.b.S.*", "a.b.S.N", "a.b.S", "a.b.Sx.*", "x.*", "", "a.b.*"} {
		s, _ := ParseSelector(text) // "" is none
		selectors = append(selectors, s)
	}
	if got, want := selectors.Matching("a.b.S.M"), []int{1, 3, 2, 10, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Semantics 9: the asterisk stands as the whole last component only.
func TestParseSelectorRefuses(t *testing.T) {
	tests := []struct{ selector, want string }{
		{"", `column 1: found the end, expected a name or "*"`},
		{".a", `column 1: found ".", expected a name or "*"`},
		{"a..b", `column 3: found ".", expected a name or "*"`},
		{"a.", `column 3: found the end, expected a name or "*"`},
		{"*.a", `column 1: found "*", expected an asterisk as the whole last component only`},
		{"a.*.b", `column 3: found "*", expected an asterisk as the whole last component only`},
		{"a.B*", `column 4: found "*", expected an asterisk as the whole last component only`},
		{"a.**", `column 3: found "*", expected an asterisk as the whole last component only`},
		{"a.1", `column 3: found '1', expected a name`},
		{"a/b", `column 2: found '/', expected a letter, a digit, "_" or "."`},
		{"a.B, a.C", `column 4: found ',', expected a letter, a digit, "_" or "."`},
	}
	for _, test := range tests {
		t.Run("Semantics 9: "+test.selector, func(t *testing.T) {
			_, err := ParseSelector(test.selector)
			var e *SelectorError
			if !errors.As(err, &e) || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// FuzzParseSelector holds that no input makes the parser panic, and that an
// accepted selector without an asterisk names itself.
func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{"*", "a.*", "a.B.C", "", "..", "a.*.b", "a\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		var e *SelectorError
		switch {
		case err != nil && (!errors.As(err, &e) || e.Column < 1 || e.Column > len(text)+1):
			t.Fatalf("%#v", err)
		case err == nil && !s.Match(strings.ReplaceAll(text, "*", "x")):
			t.Fatalf("%q does not match its own name", text)
		}
	})
}
