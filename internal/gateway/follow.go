package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// graceOfVanished is how long services that have vanished may take to come back before
// it is believed that they are gone.
const graceOfVanished = time.Second

// Follow is Reload for a change that was seen and that nobody asked for. Where whole
// services have vanished, it looks a second time after a while: somebody may be saving
// their file, which is empty or away for a moment. A change that leaves no route at all
// is a mistake more likely than not and is refused; Reload obeys.
func (g *Gateway) Follow(ctx context.Context) (Change, error) {
	g.reload.Lock()
	defer g.reload.Unlock()
	start := time.Now()
	next, problems := g.build(ctx)
	if lost := g.lost(next); len(lost) > 0 {
		next.discard()
		g.options.Telemetry.Log.Info("services have vanished; they stay in service until a second look", "services", named(lost), "in", g.grace.String())
		select {
		case <-time.After(g.grace):
		case <-ctx.Done():
			return Change{}, context.Cause(ctx)
		}
		next, problems = g.build(ctx)
	}
	if lost := g.lost(next); len(lost) > 0 && len(next.routes) == 0 {
		line, column := next.Config.Position("schemas")
		problems = append(problems, Problem{File: next.Config.Path, Line: line, Column: column, Message: "no route is left: " + named(lost) +
			" are gone from the schemas; what was there before stays in service; if it is meant, reload by SIGHUP or POST /reload"})
		next.discard()
		next = nil
	}
	return g.swap(start, next, problems)
}

// lost are the services in service that a snapshot, if there is one, does not know.
func (g *Gateway) lost(next *Snapshot) []protoreflect.FullName {
	current := g.current.Load()
	if current == nil || next == nil || len(current.routes) == 0 {
		return nil
	}
	known := next.services()
	return slices.DeleteFunc(current.services(), func(name protoreflect.FullName) bool { return slices.Contains(known, name) })
}

// services are those of all schemas, served or not, sorted.
func (s *Snapshot) services() []protoreflect.FullName {
	var names []protoreflect.FullName
	for _, r := range s.registries {
		for _, service := range r.Services() {
			names = append(names, service.FullName())
		}
	}
	slices.Sort(names)
	return names
}

// named is a list for people, of the first few.
func named(names []protoreflect.FullName) string {
	const most = 5
	var texts []string
	for i, name := range names {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, string(name))
	}
	return strings.Join(texts, ", ")
}
