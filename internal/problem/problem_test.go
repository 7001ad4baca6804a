package problem

import (
	"fmt"
	"testing"
)

func TestProblem(t *testing.T) {
	tests := map[string]Problem{
		"a.proto:3:7: broken":         {File: "a.proto", Line: 3, Column: 7, Message: "broken"},
		"a.proto:3: broken":           {File: "a.proto", Line: 3, Message: "broken"},
		"a.proto: broken":             {File: "a.proto", Column: 7, Message: "broken"},
		"broken":                      {Message: "broken"},
		"a.proto:3:7: warning: so so": {File: "a.proto", Line: 3, Column: 7, Message: "so so", Warning: true},
	}
	for want, p := range tests {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestList(t *testing.T) {
	warning := Problem{File: "a", Message: "w", Warning: true}
	if (List{warning}).Err() != nil || List(nil).Err() != nil {
		t.Error("an error out of warnings")
	}
	all := List{{File: "b", Message: "2"}, warning, {File: "a", Line: 2, Message: "1"}, {File: "b", Message: "2"}}.Sorted()
	if got := all.Error(); got != "a: warning: w\na:2: 1\nb: 2" {
		t.Errorf("sorted:\n%s", got)
	}
	if got := all.Err().Error(); got != "a:2: 1\nb: 2" {
		t.Errorf("errors:\n%s", got)
	}
	var many List
	for i := range maxListed + 10 {
		many = append(many, Problem{File: "a", Line: i + 1, Message: fmt.Sprint(i), Warning: i < maxListed+5})
	}
	many = many.Sorted()
	if last := many[len(many)-1]; len(many) != maxListed+1 || last.Message != "and 10 more problems, here and in the files after it" || last.Warning {
		t.Errorf("%d problems, the last is %v", len(many), last)
	}
	again := append(many, Problem{File: "b", Message: "x"}).Sorted()
	if last := again[len(again)-1]; len(again) != maxListed+1 || last.Message != "and 11 more problems, here and in the files after it" {
		t.Errorf("sorted again: %d problems, the last is %v", len(again), last)
	}
}

func TestAt(t *testing.T) {
	for where, want := range map[string]Problem{
		"a.proto:3:7": {File: "a.proto", Line: 3, Column: 7}, "a.proto:3": {File: "a.proto", Line: 3},
		"a.proto": {File: "a.proto"}, "": {}, "c:x:1": {File: "c:x", Line: 1}, "a.proto:0:1": {File: "a.proto:0", Line: 1},
	} {
		if want.Message = "m"; At(where, "m") != want {
			t.Errorf("%q: %+v", where, At(where, "m"))
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"abä", 3, "ab…"}, {"ä\xffä", 4, "ä…"},
	} {
		if got := Clip(test.text, test.most); got != test.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", test.text, test.most, got, test.want)
		}
	}
}
