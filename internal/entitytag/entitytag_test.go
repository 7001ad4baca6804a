package entitytag

import (
	"strings"
	"testing"
)

func TestListed(t *testing.T) {
	for _, c := range []struct {
		lines []string
		tag   string
		want  bool
	}{
		{nil, `"a"`, false},
		{[]string{`"a"`}, `"a"`, true},
		{[]string{`W/"a"`}, `"a"`, true},
		{[]string{`"a"`}, `W/"a"`, true},
		{[]string{`w/"a"`}, `"a"`, false}, // the mark is case-sensitive
		{[]string{`"b", W/"a"`}, `W/"a"`, true},
		{[]string{`"b","a"`}, `"a"`, true},
		{[]string{` ,, "b" , "a",`}, `"a"`, true},
		{[]string{`"b"`, `"a"`}, `"a"`, true},
		{[]string{`"a,b"`}, `"a,b"`, true},
		{[]string{`"a,b"`}, `"a"`, false},
		{[]string{`"A"`}, `"a"`, false},
		{[]string{`*`}, `"a"`, true},
		{[]string{` * `}, ``, true},
		{[]string{`*`, `"b"`}, `"a"`, false},
		{[]string{`"b", *`}, `"a"`, false},
		{[]string{`"*"`}, `"a"`, false},
		{[]string{`""`}, `""`, true},
		{[]string{`""`}, ``, false},
		{[]string{`a`}, `"a"`, false},
		{[]string{`"a`}, `"a"`, false},
		{[]string{`"a" "b"`}, `"a"`, false},
		{[]string{`"a", b`}, `"a"`, false},
		{[]string{"\"a\tb\""}, "\"a\tb\"", false},
		{[]string{`"` + strings.Repeat("a", maxList) + `"`}, `"` + strings.Repeat("a", maxList) + `"`, false},
	} {
		if got := Listed(c.lines, c.tag); got != c.want {
			t.Errorf("Listed(%.80q, %.20q) = %t, expected %t", c.lines, c.tag, got, c.want)
		}
	}
}

func TestValid(t *testing.T) {
	for tag, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `""`: true, `"é"`: true,
		``: false, `a`: false, `"a`: false, `"a"b`: false, `"a", "b"`: false, `W/a`: false, `*`: false, `"a b"`: false, ` "a"`: false,
	} {
		if got := Valid(tag); got != want {
			t.Errorf("Valid(%q) = %t, expected %t", tag, got, want)
		}
	}
}

func TestListedAllocatesNothing(t *testing.T) {
	lines := []string{`"b", W/"c"`, `W/"a"`}
	if n := testing.AllocsPerRun(100, func() { Listed(lines, `W/"a"`) }); n != 0 {
		t.Errorf("got %v allocations, expected none", n)
	}
}

// FuzzListed checks that a list names exactly the tags that were put in it.
func FuzzListed(f *testing.F) {
	f.Add(`"a", W/"b"`, `"a"`)
	f.Add(`*`, `W/"x"`)
	f.Add(`"a`, `"a"`)
	f.Fuzz(func(t *testing.T, list, tag string) {
		listed := Listed([]string{list}, tag)
		if listed && strings.Trim(list, " \t") != "*" && !strings.Contains(list, strings.TrimPrefix(tag, "W/")) {
			t.Errorf("%q names %q, which does not stand in it", list, tag)
		}
		if !Valid(tag) || len(tag) > 1000 {
			return
		}
		if !Listed([]string{`"before", ` + tag + `, W/"after"`}, tag) {
			t.Errorf("%q is not found in a list of it", tag)
		}
		if listed != Listed([]string{list}, "W/"+strings.TrimPrefix(tag, "W/")) {
			t.Errorf("%q and its weak form differ in %q", tag, list)
		}
	})
}
