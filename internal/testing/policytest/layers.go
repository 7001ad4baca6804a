package policytest

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// PolicyOf reads a policy in text form.
func PolicyOf(t testing.TB, text string) *transomv1.Policy {
	t.Helper()
	p := &transomv1.Policy{}
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// LayersOf makes layers of texts, the widest first, each at a line of its own.
func LayersOf(t testing.TB, texts ...string) []policy.Layer {
	t.Helper()
	var layers []policy.Layer
	for n, text := range texts {
		layers = append(layers, policy.Layer{Policy: PolicyOf(t, text), Where: fmt.Sprintf("layer.yaml:%d:1", n+1)})
	}
	return layers
}

// CheckExplained checks what became of one policy: want is its only line for people, empty
// for none, or behind "!" a part of the one problem.
func CheckExplained(t testing.TB, set *policy.Set, problems policy.Problems, want string) {
	t.Helper()
	if want, refused := strings.CutPrefix(want, "!"); refused {
		if len(problems) != 1 || !strings.Contains(problems.Error(), want) {
			t.Errorf("got %q, want %q", problems, want)
		}
		return
	}
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	switch lines := set.Explain(); {
	case want == "" && len(lines) == 0:
	case want == "" || len(lines) != 1 || lines[0].Summary != want:
		t.Errorf("got %q, want %q", lines, want)
	}
}
