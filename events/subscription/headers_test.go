package subscription

import (
	"fmt"
	"strings"
	"testing"
)

// TestHeaders: Events 162: of a message's headers as many are metadata as there is room for, and none whose name metadata cannot have.
func TestHeaders(t *testing.T) {
	got := Headers("p-", []Pair{{"Own", "é"}, {"", "x"}, {"a b", "x"}, {"x\r\ny", "x"}, {"data-bin", "x"}, {"large", strings.Repeat("x", maxHeaderBytes)}, {"z_1.a", "2"}})
	if fmt.Sprint(got) != "[{p-own é} {p-z_1.a 2}]" {
		t.Errorf("got %.300s", fmt.Sprint(got))
	}
	if n := len(Headers("p-", make([]Pair, 10_000))); n != 0 {
		t.Errorf("got %d without a name", n)
	}
	many := make([]Pair, 10_000)
	for i := range many {
		many[i].Name = "a"
	}
	if n := len(Headers("p-", many)); n != maxHeaders {
		t.Errorf("got %d of 10,000, want %d", n, maxHeaders)
	}
}
