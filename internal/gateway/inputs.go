package gateway

import (
	"context"
	"slices"
	"time"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Files lists the files and folders that the snapshot in service was built
// from, to be watched.
func (g *Gateway) Files() []string {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	var files []string
	if s.Config.Path != "" {
		files = append(files, s.Config.Path)
	}
	files = append(files, s.Config.References...)
	for _, source := range s.Config.Config.GetSchemas() {
		switch source := source.GetSource().(type) {
		case *transomv1.SchemaSource_Directory:
			files = append(files, s.Config.Resolve(source.Directory))
		case *transomv1.SchemaSource_DescriptorSet:
			files = append(files, s.Config.Resolve(source.DescriptorSet))
		}
	}
	for _, issuer := range s.Config.Config.GetAuth().GetJwt() {
		if jwks := issuer.GetJwksFile(); jwks != "" {
			files = append(files, s.Config.Resolve(jwks))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// PollReflection asks the upstreams' reflection services for changes until the
// returned function is called, and calls changed when there is one.
func (g *Gateway) PollReflection(ctx context.Context, changed func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			timer := time.NewTimer(g.pollInterval())
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			if g.sources.changed(ctx) {
				changed()
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// pollInterval is the shortest of the configuration's.
func (g *Gateway) pollInterval() time.Duration {
	interval := 30 * time.Second
	s := g.acquire()
	if s == nil {
		return interval
	}
	defer s.release()
	for _, source := range s.Config.Config.GetSchemas() {
		if p := source.GetReflection().GetPoll().AsDuration(); p > 0 {
			interval = min(interval, p)
		}
	}
	return interval
}
