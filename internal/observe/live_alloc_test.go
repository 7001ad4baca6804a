//go:build !race

package observe

import (
	"io"
	"testing"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestNobodyWatchesForFree: Surface 242: a call allocates nothing more where nobody watches, nor when
// the last one has gone.
//
//transom:norace
func TestNobodyWatchesForFree(t *testing.T) {
	off := false
	telemetry := setup(t, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}}, io.Discard)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	r, o, ctx := request("/v1/shelves/1/books/2"), &policy.Outcome{HTTPStatus: 200}, t.Context()
	call := func() {
		_, _ = set.Admit(ctx, r)
		set.Done(r, o)
	}
	if n := testing.AllocsPerRun(1000, call); n != 0 {
		t.Errorf("a call allocates %v times, expected 0", n)
	}
	watch, err := telemetry.Live.Watch("")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, call); n == 0 {
		t.Error("a call that is watched allocates nothing: it is not measured")
	}
	watch.Close()
	if n := testing.AllocsPerRun(1000, call); n != 0 {
		t.Errorf("a call allocates %v times after the watch, expected 0", n)
	}
}

// TestAccessLogAllocations: a line of the access log allocates the text of the client's address
// and nothing else, however many fields it has.
//
//transom:norace
func TestAccessLogAllocations(t *testing.T) {
	telemetry := setup(t, &transomv1.Telemetry{Log: &transomv1.Log{Format: transomv1.Log_JSON}}, io.Discard)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	r, o, ctx := request("/v1/shelves/1/books/2"), &policy.Outcome{HTTPStatus: 200, Endpoint: "10.0.0.1:50051"}, t.Context()
	r.HTTP.Header.Set("User-Agent", "test/1.0")
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = set.Admit(ctx, r)
		set.Done(r, o)
	}); n > 1 {
		t.Errorf("a call with its line allocates %v times, expected 1", n)
	}
}

// What a call costs more while somebody watches.
func BenchmarkWatched(b *testing.B) {
	for name, filters := range map[string][]string{"nobody": nil, "one": {"status >= 500"}, "sixteen": make([]string, 16)} {
		b.Run(name, func(b *testing.B) {
			off := false
			telemetry := setup(b, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}}, io.Discard)
			for _, filter := range filters {
				watch, err := telemetry.Live.Watch(filter)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(watch.Close)
				ctx := b.Context()
				go func() {
					for ok := true; ok; {
						_, ok = watch.Next(ctx)
					}
				}()
			}
			set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r, o, ctx := request("/v1/shelves/1/books/2"), &policy.Outcome{HTTPStatus: 200}, b.Context()
				for pb.Next() {
					_, _ = set.Admit(ctx, r)
					set.Done(r, o)
				}
			})
		})
	}
}
