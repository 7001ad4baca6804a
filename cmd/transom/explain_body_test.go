package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestExplainBodyOfAFile: explain reads the body from the file that -d names, as call does.
func TestExplainBodyOfAFile(t *testing.T) {
	dir := folder(t, map[string]string{"body.json": `{"name":"ada"}`})
	for data, want := range map[string]string{
		"@" + filepath.Join(dir, "body.json"): `{"name":"ada"}`,
		`{"name":"eve"}`:                      `{"name":"eve"}`,
		"@-":                                  `{"name":"bob"}`,
	} {
		a := asked{data: data}
		if err := a.read(strings.NewReader(`{"name":"bob"}`)); err != nil || a.data != want {
			t.Errorf("%s: %s, %v", data, a.data, err)
		}
	}
	if err := (&asked{data: "@" + filepath.Join(dir, "none")}).read(nil); err == nil {
		t.Error("a file that is not there is read")
	}
}
