package transcoder

import (
	"net/http"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/proxy"
)

// TestConnectionFields: what Connection names is of one connection and stays there, by
// whatever name and rule it would have crossed (Semantics 312).
func TestConnectionFields(t *testing.T) {
	rules := NewHeaderRules(HeaderOptions{Request: []string{"x-*"}})
	for _, all := range []bool{false, true} {
		var md proxy.Metadata
		h := http.Header{
			"Connection": {"keep-alive, X-Secret", "authorization,grpc-metadata-x-other"},
			"X-Secret":   {"s"}, "Authorization": {"a"}, "Grpc-Metadata-X-Other": {"o"}, "X-Kept": {"k"},
		}
		if err := rules.Request(&md, h, all); err != nil {
			t.Fatal(err)
		}
		if len(md.Get("x-secret"))+len(md.Get("authorization"))+len(md.Get("x-other")) > 0 || md.Get("x-kept") != "k" {
			t.Errorf("%v", md)
		}
	}
}

// TestRequestIDOfBackend: the gateway's own id stands in the answer alone.
func TestRequestIDOfBackend(t *testing.T) {
	h := http.Header{"X-Request-Id": {"ours"}}
	NewHeaderRules(HeaderOptions{}).Response(h, metadata.MD{"x-request-id": {"theirs"}}, nil)
	if got := h["X-Request-Id"]; len(got) != 1 || got[0] != "ours" {
		t.Errorf("Semantics 321: %v", got)
	}
}
