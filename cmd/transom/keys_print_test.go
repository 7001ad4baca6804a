package main

import (
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/admin"
)

// TestPrintKeys: a key of which somebody has taken all in the store but its place is a line too, and what
// stands there moves nobody's cursor.
func TestPrintKeys(t *testing.T) {
	var b strings.Builder
	if err := printKeys(&b, []admin.Key{
		{State: "unknown", Store: "redis", ID: "57ac"},
		{State: "answered", Store: "redis", ID: "72c6", Key: "\x1b[2J", RPC: "a\tb", Principal: "ada", Begun: time.Unix(1, 0).UTC()},
	}); err != nil {
		t.Fatal(err)
	}
	want := `STATE     BEGUN                 RPC     PRINCIPAL  KEY           STORE  ID
unknown   -                     -       -          -             redis  57ac
answered  1970-01-01T00:00:01Z  "a\tb"  ada        "\u001b[2J"  redis  72c6
`
	if strings.Join(strings.Fields(b.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
