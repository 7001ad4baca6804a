package httprule

import (
	"fmt"
	"testing"
)

// benchRoutes makes n routes of the shapes that real APIs have, and for each a
// method and a path that match it.
func benchRoutes(n int) (routes, paths []string) {
	shapes := [][3]string{
		{"GET", "/v1/{name=projects/*/%s/*}", "/v1/projects/p-1/%s/x-2"},
		{"GET", "/v1/{parent=projects/*}/%s", "/v1/projects/p-1/%s"},
		{"POST", "/v1/{name=projects/*/%s/*}:cancel", "/v1/projects/p-1/%s/x-2:cancel"},
		{"GET", "/%s/items/{id}", "/%s/items/17"},
		{"GET", "/files/%s/{path=**}", "/files/%s/a/b/c.txt"},
	}
	for i := range n {
		s, name := shapes[i%len(shapes)], fmt.Sprintf("things%d", i/len(shapes))
		routes = append(routes, s[0]+" "+fmt.Sprintf(s[1], name))
		paths = append(paths, s[0], fmt.Sprintf(s[2], name))
	}
	return routes, paths
}

// BenchmarkMatch holds the figure that 10,000 routes cost at most twice what 10
// do. The requests go to ten routes of either tree, as popular ones do, or to
// all in turn, so that nothing stays in the processor's cache.
func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ routes, step int }{{10, 1}, {10_000, 1001}, {10_000, 1}} {
		routes, paths := benchRoutes(c.routes)
		tree := newTree(b, Options{}, routes...)
		b.Run(fmt.Sprintf("routes=%d/asked=%d", c.routes, (c.routes+c.step-1)/c.step), func(b *testing.B) {
			var m Match
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := tree.Match(paths[2*i], paths[2*i+1], &m); !ok {
					b.Fatal(paths[2*i+1])
				}
				if i += c.step; i >= c.routes {
					i = 0
				}
			}
		})
	}
}

func BenchmarkMatchEscaped(b *testing.B) {
	routes, _ := benchRoutes(100)
	tree := newTree(b, Options{}, routes...)
	var m Match
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tree.Match("GET", "/v1/projects/p%201/things3/x", &m); !ok {
			b.Fatal("not found")
		}
	}
}
