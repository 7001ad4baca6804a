package sharing

import (
	"slices"
	"strings"

	"github.com/transom-gateway/transom/proxy"
)

// Unconditional takes off what a client has already, for a call whose answer is for others,
// too: the gateway compares the entity tags (Traffic 122). Under a prefix it is REST's.
func Unconditional(told proxy.Metadata) proxy.Metadata {
	own := slices.Clone(told)
	own.DelFunc(func(name string) bool {
		return strings.HasSuffix(name, "if-none-match") || strings.HasSuffix(name, "if-modified-since")
	})
	return own
}
