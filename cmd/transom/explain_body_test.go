package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/gateway"
)

// TestExplainBodyOfAFile: explain reads the body from the file that -d names, as call does.
func TestExplainBodyOfAFile(t *testing.T) {
	dir := folder(t, map[string]string{"body.json": `{"name":"ada"}`})
	for data, want := range map[string]string{
		"@" + filepath.Join(dir, "body.json"): `{"name":"ada"}`,
		`{"name":"eve"}`:                      `{"name":"eve"}`,
		"@-":                                  `{"name":"bob"}`,
	} {
		a := asked{Asked: gateway.Asked{Body: data}}
		if err := a.read(strings.NewReader(`{"name":"bob"}`)); err != nil || a.Body != want {
			t.Errorf("%s: %s, %v", data, a.Body, err)
		}
	}
	if err := (&asked{Asked: gateway.Asked{Body: "@" + filepath.Join(dir, "none")}}).read(nil); err == nil {
		t.Error("a file that is not there is read")
	}
}
