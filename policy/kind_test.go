package policy

import (
	"context"
	"slices"
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// watcher is a Part that every method has.
type watcher struct{ routes []Route }

func (*watcher) Name() string { return "watcher" }

func (*watcher) Admit(ctx context.Context, _ *Request) (context.Context, Done, error) {
	return ctx, nil, nil
}

func (w *watcher) Finish(_ *Set, routes []Route) { w.routes = routes }

// ear notes what an Observer is told.
type ear struct{ heard []string }

func (e *ear) Decision(policy, _, _ string) { e.heard = append(e.heard, policy) }

// TestKindWithoutField: what holds for every method admits calls and hears of the routes,
// is in no listing, and its consent is no policy's decision.
func TestKindWithoutField(t *testing.T) {
	every := new(watcher)
	heard := new(ear)
	c, problems := New([]Kind{{Compile: func(*Scope) Part { return every }}}, Environment{State: NewState(StateOptions{}), Observer: heard})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	set, problems := c.Compile(Target{RPC: "s.S/M", Layers: []Layer{{Policy: &transomv1.Policy{}}}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	routes := []Route{{Template: "/v1/{name}", HidesPath: true}}
	set.Finish(routes)
	if found, ok := Find[*watcher](set); !ok || !slices.Equal(found.routes, routes) {
		t.Errorf("the Part is there: %t, and heard of the routes %v", ok, every.routes)
	}
	if len(set.Parts()) > 0 || len(set.Explain()) > 0 {
		t.Errorf("listed: %v, %v", set.Parts(), set.Explain())
	}
	if _, err := set.Admit(t.Context(), &Request{RPC: "s.S/M"}); err != nil || len(heard.heard) > 0 {
		t.Errorf("admits: %v; heard: %v", err, heard.heard)
	}
}
