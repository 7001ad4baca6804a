//go:build !race

package transcoder

import (
	"net/http"
	"testing"

	"github.com/transom-gateway/transom/proxy"
)

// TestHeadersThatStay: those that do not cross take no memory.
//
//transom:norace
func TestHeadersThatStay(t *testing.T) {
	rules := NewHeaderRules(HeaderOptions{ResponsePrefix: DefaultResponsePrefix})
	h := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"k"}, "X-Other": {"a"}, "Accept": {"*/*"}}
	var md proxy.Metadata
	if n := testing.AllocsPerRun(100, func() {
		md = md[:0]
		if err := rules.Request(&md, h, false); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for headers of which %d cross", n, len(md)/2)
	}
}
