package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/googleapis"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/observe"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestGoogleapis loads every public Google API: each binding's own template,
// filled in, finds its method, or the conflict is named.
//
//transom:norace
func TestGoogleapis(t *testing.T) {
	file := config.ForFlags(nil, []string{googleapis.File(t)}, false, "localhost:1", "", "")
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Load: func() (*config.File, error) { return file, nil }, Telemetry: telemetry})
	defer g.Close()
	start := time.Now()
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatalf("%.2000s", err.Error())
	}
	took := time.Since(start)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	s := g.acquire()
	defer s.release()
	t.Logf("%d routes and %d warnings in %s, %d MB live", len(s.routes), len(s.Problems), took.Round(time.Millisecond), memory.HeapAlloc>>20)
	if len(s.routes) < 12_000 {
		t.Errorf("only %d routes", len(s.routes))
	}
	lost := 0
	for _, r := range s.routes {
		if !findsItself(t, s, r) {
			if lost++; lost < 10 {
				t.Errorf("%s %s does not find %s", r.listing.Method, r.listing.Path, r.guard.name)
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d routes do not find their method", lost, len(s.routes))
	}
	for _, p := range s.Problems {
		if !p.Warning || p.Message == "" {
			t.Errorf("a problem without words: %+v", p)
		}
	}
}

func findsItself(t *testing.T, s *Snapshot, r *Route) bool {
	t.Helper()
	method := r.listing.Method
	if method == httprule.AnyMethod {
		method = http.MethodGet
	}
	template, err := httprule.Parse(r.listing.Path)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, "http://gateway"+filled(template), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	var m match
	found, err := s.find(request, &m)
	return err == nil && found != nil && found.guard == r.guard
}

// filled puts words where the template has wildcards.
func filled(template *httprule.Template) string {
	var b strings.Builder
	for i, segment := range template.Segments {
		switch segment.Kind {
		case httprule.Literal:
			fmt.Fprintf(&b, "/%s", segment.Text)
		case httprule.Single:
			fmt.Fprintf(&b, "/value%d", i)
		default:
			fmt.Fprintf(&b, "/value%d/more", i)
		}
	}
	if template.Verb != "" {
		b.WriteString(":" + template.Verb)
	}
	return b.String()
}
