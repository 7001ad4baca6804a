package policytest

import (
	"fmt"
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
