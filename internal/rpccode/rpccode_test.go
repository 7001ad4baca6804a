package rpccode_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/rpccode"
)

func TestParse(t *testing.T) {
	for i, name := range rpccode.Names() {
		code := codes.Code(i) //nolint:gosec // i < 17
		if got, ok := rpccode.Parse(name); !ok || got != code || rpccode.Name(code) != name {
			t.Errorf("%s: got %d, %v, and %s", name, got, ok, rpccode.Name(code))
		}
	}
	if len(rpccode.Names()) != 17 {
		t.Errorf("there are %d names", len(rpccode.Names()))
	}
	for text, want := range map[string]codes.Code{"CANCELED": 1, "CANCELLED": 1, "1": 1, "5002": 5002, "4294967295": 4294967295} {
		if got, ok := rpccode.Parse(text); !ok || got != want {
			t.Errorf("%s: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "canceled", "Not_Found", "NOT FOUND", " OK", "-1", "4294967296", "0x1", "NotFound"} {
		if got, ok := rpccode.Parse(text); ok {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	if name := rpccode.Name(5002); name != "5002" {
		t.Errorf("got %s", name)
	}
	if name, ok := rpccode.LowerName(5002); ok {
		t.Errorf("got %s", name)
	}
	if name, ok := rpccode.LowerName(codes.NotFound); !ok || name != "not_found" {
		t.Errorf("got %s, %v", name, ok)
	}
}
