package problem

import (
	"strings"
	"testing"
)

func TestProblemPlaces(t *testing.T) {
	for where, want := range map[string]Problem{
		"a.proto:12:3":     {File: "a.proto", Line: 12, Column: 3},
		"a.proto:12":       {File: "a.proto", Line: 12},
		"a.proto":          {File: "a.proto"},
		"":                 {},
		"C:\\a.proto:12:3": {File: "C:\\a.proto", Line: 12, Column: 3},
		"odd:name:0:3":     {File: "odd:name:0", Line: 3},
	} {
		want.Message = "m"
		got := At(where, "m")
		if got != want {
			t.Errorf("%q: got %+v, want %+v", where, got, want)
		}
		if text := strings.TrimSuffix(strings.TrimSuffix(got.String(), "m"), ": "); text != where {
			t.Errorf("%q is written as %q", where, text)
		}
	}
}
