package policy

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func policyOf(t testing.TB, text string) *transomv1.Policy {
	t.Helper()
	p := &transomv1.Policy{}
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// layersOf makes layers of texts, the widest first, each at a line of its own.
func layersOf(t testing.TB, texts ...string) []Layer {
	t.Helper()
	var layers []Layer
	for n, text := range texts {
		layers = append(layers, Layer{Policy: policyOf(t, text), Where: fmt.Sprintf("layer.yaml:%d:1", n+1)})
	}
	return layers
}
