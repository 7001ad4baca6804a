package architecture

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// layers are the packages from above. Each imports what stands below its own line, or
// beside it where the rule of its folder says so. The rules are narrower; this is what
// they have in common, so that none of them turns a line around. The longest match
// decides.
var layers = [][]string{
	{"cmd/..."},
	{"internal/server/...", "internal/admin", "internal/console", "internal/try"},
	{"internal/gateway/..."},
	{"policy/kinds", "transcoder/protocols", "events/...", "internal/openapi", "internal/capture", "internal/observe"},
	{"policy/...", "transcoder/..."},
	{"policy", "transcoder", "proxy/upstream/...", "proxy/attempt", "proxy/grpcgo", "proxy/httpbackend"},
	{"transcoder/jsonwire", "transcoder/exchange", "transcoder/rpcerror", "transcoder/compression"}, // what all edges share
	{"proxy"},
	{"proxy/breaker", "proxy/transport", "internal/config", "internal/projection", "internal/schema", "internal/httprule"},
	{"internal/...", "proto/...", "examples/..."},
}

// layerOf is the line that a folder stands in.
func layerOf(dir string) int {
	best, found := "", -1
	for i, line := range layers {
		for _, pattern := range line {
			if covers(pattern, dir) && len(pattern) > len(best) {
				best, found = pattern, i
			}
		}
	}
	return found
}

// TestLayers: imports go down.
func TestLayers(t *testing.T) {
	imports := productionImports(t, filepath.Join("..", ".."))
	for _, dir := range slices.Sorted(maps.Keys(imports)) {
		if slices.ContainsFunc(helpers, func(h string) bool { return covers(h, dir) }) {
			continue
		}
		at := layerOf(dir)
		if at < 0 {
			t.Errorf("%s stands in no layer; add it here", dir)
		}
		for _, imported := range imports[dir] {
			own, ours := cutModule(imported)
			if !ours || own == dir {
				continue
			}
			if to := layerOf(own); to < at {
				t.Errorf("%s imports %s, which stands above it", dir, own)
			}
		}
	}
}
