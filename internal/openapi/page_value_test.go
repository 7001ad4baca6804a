package openapi

import (
	"strings"
	"testing"
)

// TestNotes: what a schema says of its values, without what their type has said.
func TestNotes(t *testing.T) {
	for _, test := range []struct {
		schema *object
		want   string
	}{
		{obj("type", "integer", "format", "uint32", "minimum", 0), ""},
		{obj("type", "integer", "format", "uint32", "minimum", 1), "at least 1"},
		{obj("type", "integer", "format", "int32", "minimum", 0, "deprecated", true), "deprecated, at least 0"},
		{obj("type", "string", "format", "int64", "pattern", "^-?[0-9]+$"), ""},
		{obj("type", "array", "items", obj("type", "string", "pattern", "^a$")), "each matches ^a$"},
	} {
		if got := strings.Join(notes(test.schema), ", "); got != test.want {
			t.Errorf("found %q, want %q", got, test.want)
		}
	}
}
