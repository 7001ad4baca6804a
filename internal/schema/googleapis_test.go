package schema

import (
	"runtime"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/googleapis"
)

// TestGoogleapis loads a set of 7,234 files and looks at all of its methods.
//
//transom:norace
func TestGoogleapis(t *testing.T) {
	name := googleapis.File(t)
	before := heap()
	start := time.Now()
	registry, problems := DescriptorSet(name).Load(t.Context())
	took := time.Since(start)
	for _, problem := range problems {
		t.Error(problem)
	}
	if registry == nil {
		t.Fatal("no registry")
	}
	methods, bindings := 0, 0
	for _, service := range registry.Services() {
		for i := range service.Methods().Len() {
			methods++
			if rule := HTTPRule(service.Methods().Get(i)); rule != nil {
				bindings += 1 + len(rule.GetAdditionalBindings())
			}
		}
	}
	t.Logf("%d files, %d services, %d methods, %d bindings in %v; the registry holds %d MB",
		registry.Files().NumFiles(), len(registry.Services()), methods, bindings, took, (heap()-before)>>20)
	if registry.Files().NumFiles() < 7234 || len(registry.Services()) != 1739 || methods != 12344 || bindings != 14286 {
		t.Error("want 7234 files and what they import, 1739 services, 12344 methods, 14286 bindings")
	}
	runtime.KeepAlive(registry)
}

// BenchmarkGoogleapis loads the same set again and again.
func BenchmarkGoogleapis(b *testing.B) {
	source := DescriptorSet(googleapis.File(b))
	for b.Loop() {
		if registry, problems := source.Load(b.Context()); registry == nil || len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

// heap is the live heap in bytes.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
