package gateway

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/transcoder/jsonwire"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// sources remembers what a schema source gave last, so that a reload whose
// inputs are the same need not compile plans again.
type sources struct {
	mu         sync.Mutex
	reflectors map[string]*schema.Reflector // by upstream name and target
	plans      map[*schema.Registry]*jsonwire.Plans
	registries map[string]*schema.Registry // by source name
	tolerant   map[*schema.Registry]bool   // a bad method costs itself alone
	servers    map[*schema.Registry]bool   // it is what a server told
	offered    map[*schema.Registry][]offered
	// patience is how long to wait for a server where the start goes on without it;
	// 0 where it does not.
	patience time.Duration
	metadata metadata.MD // for servers that are asked
}

func newSources() *sources {
	return &sources{
		reflectors: map[string]*schema.Reflector{},
		plans:      map[*schema.Registry]*jsonwire.Plans{},
		registries: map[string]*schema.Registry{},
		tolerant:   map[*schema.Registry]bool{},
		servers:    map[*schema.Registry]bool{},
		offered:    map[*schema.Registry][]offered{},
	}
}

func (s *sources) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reflectors, s.plans, s.registries = nil, nil, nil
}

// load reads all schema sources of a configuration. Those that are as they were
// keep their registry and its plans.
func (s *sources) load(ctx context.Context, file *config.File, conns map[string]connection) ([]*schema.Registry, Problems) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened, problems := s.open(file, conns)
	asked := map[*schema.Reflector]bool{}
	var loading sync.WaitGroup
	for _, o := range opened {
		if r, ok := o.from.(*schema.Reflector); ok {
			asked[r] = true
			loading.Go(func() { o.registry, o.problems = r.Load(ctx) }) // none delays another
		}
	}
	for _, o := range opened {
		if _, ok := o.from.(*schema.Reflector); !ok {
			o.registry, o.problems = o.from.Load(ctx)
		}
	}
	loading.Wait()
	var all []*schema.Registry
	for _, o := range opened {
		problems = append(problems, o.problems...)
		if o.registry == nil {
			continue
		}
		registry := o.registry
		if o.problems.Err() == nil {
			registry = s.same(o.from.Name(), registry)
		}
		// A folder can be mended; a set or a server is somebody else's.
		source := file.Config.GetSchemas()[o.index]
		_, mine := source.GetSource().(*transomv1.SchemaSource_Directory)
		s.tolerant[registry] = !mine
		s.servers[registry] = source.GetReflection() != nil
		s.offered[registry] = offeredOf(file, o.index)
		all = append(all, registry)
	}
	s.forget(all)
	maps.DeleteFunc(s.reflectors, func(_ string, r *schema.Reflector) bool { return !asked[r] })
	return all, problems
}

// opened is one source of a configuration and what it gave.
type opened struct {
	index    int // in the configuration
	from     schema.Source
	registry *schema.Registry
	problems Problems
}

// open makes the sources of a configuration. All folders are one, and what is named
// twice is one.
func (s *sources) open(file *config.File, conns map[string]connection) ([]*opened, Problems) {
	var all []*opened
	var problems Problems
	for i, source := range file.Config.GetSchemas() {
		if slices.ContainsFunc(file.Config.GetSchemas()[:i], func(before *transomv1.SchemaSource) bool { return sameSource(before, source) }) {
			continue // opened with the first of them
		}
		from, err := s.source(source, file, conns)
		if _, folder := source.GetSource().(*transomv1.SchemaSource_Directory); folder {
			from = schema.Directories(foldersOf(file)...)
		}
		if err != nil {
			line, column := file.Position("schemas", i)
			problems = append(problems, Problem{File: file.Path, Line: line, Column: column, Message: err.Error()})
			continue
		}
		all = append(all, &opened{index: i, from: from})
	}
	return all, problems
}

// foldersOf are the folders of a configuration. They are one source: their files may
// import each other.
func foldersOf(file *config.File) []string {
	var folders []string
	for _, source := range file.Config.GetSchemas() {
		if s, ok := source.GetSource().(*transomv1.SchemaSource_Directory); ok {
			folders = append(folders, inDirectory(file.Directory, s.Directory))
		}
	}
	return folders
}

// sameSource reports whether two schemas of a configuration are read as one.
func sameSource(a, b *transomv1.SchemaSource) bool {
	switch a := a.GetSource().(type) {
	case *transomv1.SchemaSource_Directory:
		_, ok := b.GetSource().(*transomv1.SchemaSource_Directory)
		return ok
	case *transomv1.SchemaSource_DescriptorSet:
		b, ok := b.GetSource().(*transomv1.SchemaSource_DescriptorSet)
		return ok && a.DescriptorSet == b.DescriptorSet
	case *transomv1.SchemaSource_Reflection:
		b, ok := b.GetSource().(*transomv1.SchemaSource_Reflection)
		return ok && a.Reflection.GetUpstream() == b.Reflection.GetUpstream()
	}
	return false
}

// offeredOf says what a source of a configuration offers: what all schemas do that are
// read as one with it.
func offeredOf(file *config.File, index int) []offered {
	all := file.Config.GetSchemas()
	var list []offered
	for i, source := range all {
		if !sameSource(source, all[index]) {
			continue
		}
		folder := ""
		if s, ok := source.GetSource().(*transomv1.SchemaSource_Directory); ok {
			folder = inDirectory(file.Directory, s.Directory)
		}
		list = append(list, newOffered(i, folder, source))
	}
	return list
}

// offeredBy says which services of a registry in use are served.
func (s *sources) offeredBy(r *schema.Registry) []offered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offered[r]
}

// same returns the registry that a source gave before, if that is the same, else
// the new one for the next time.
func (s *sources) same(source string, registry *schema.Registry) *schema.Registry {
	if before := s.registries[source]; before != nil && before.Digest() == registry.Digest() {
		return before
	}
	s.registries[source] = registry
	return registry
}

// waiting reports whether a server has yet to tell its schema.
func (s *sources) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reflectors {
		if r.Waiting() {
			return true
		}
	}
	return false
}

// away reports whether a server has yet to tell its schema and may any moment.
func (s *sources) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reflectors {
		if r.Waiting() && r.Away() {
			return true
		}
	}
	return false
}

// returned watches for a time whether a server comes back.
func (s *sources) returned(ctx context.Context, watch time.Duration) bool {
	s.mu.Lock()
	reflectors := slices.Collect(maps.Values(s.reflectors))
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, watch)
	defer cancel()
	var back atomic.Bool
	var all sync.WaitGroup
	for _, r := range reflectors {
		all.Go(func() {
			if r.Reconnected(ctx) {
				back.Store(true)
			}
		})
	}
	all.Wait()
	<-ctx.Done()
	return back.Load()
}

// changed asks the reflection services in use whether they have something new.
func (s *sources) changed(ctx context.Context) bool {
	s.mu.Lock()
	reflectors := slices.Collect(maps.Values(s.reflectors))
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var changed atomic.Bool
	var all sync.WaitGroup
	for _, r := range reflectors {
		all.Go(func() {
			if r.Changed(ctx) {
				changed.Store(true)
				cancel() // no silent one delays what another has
			}
		})
	}
	all.Wait()
	return changed.Load()
}

// isTolerant reports whether the registry's source cannot be mended by its user.
func (s *sources) isTolerant(r *schema.Registry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tolerant[r]
}

// isServers reports whether the registry is what a server told.
func (s *sources) isServers(r *schema.Registry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[r]
}

// replace puts other registries in the place of some that load gave; nil stands for
// none.
func (s *sources) replace(all []*schema.Registry, by map[*schema.Registry]*schema.Registry) []*schema.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*schema.Registry
	for _, r := range all {
		other, replaced := by[r]
		switch {
		case !replaced:
			list = append(list, r)
		case other != nil:
			s.tolerant[other], s.servers[other], s.offered[other] = s.tolerant[r], s.servers[r], s.offered[r]
			list = append(list, other)
		}
	}
	s.forget(list)
	return list
}

// plansOf returns the plans of a registry in use.
func (s *sources) plansOf(r *schema.Registry) *jsonwire.Plans {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plans[r]
}

// forget drops the plans of registries that are not used any more.
func (s *sources) forget(used []*schema.Registry) {
	plans := map[*schema.Registry]*jsonwire.Plans{}
	maps.DeleteFunc(s.offered, func(r *schema.Registry, _ []offered) bool { return !slices.Contains(used, r) })
	maps.DeleteFunc(s.servers, func(r *schema.Registry, _ bool) bool { return !slices.Contains(used, r) })
	maps.DeleteFunc(s.tolerant, func(r *schema.Registry, _ bool) bool { return !slices.Contains(used, r) })
	for _, r := range used {
		if plans[r] = s.plans[r]; plans[r] == nil {
			plans[r] = jsonwire.NewPlans(jsonwire.TypeResolver{Types: r})
			plans[r].Hide(func(f protoreflect.FieldDescriptor) bool { return schema.FieldOptions(f).GetSensitive() })
		}
	}
	s.plans = plans
}

// A Reflector watches its connection and asks it for advice, where it can.
var _ interface {
	State() connectivity.State
	StateChanged(ctx context.Context) bool
	Advice() string
} = attempt.Client{}

func (s *sources) source(c *transomv1.SchemaSource, file *config.File, conns map[string]connection) (schema.Source, error) {
	switch source := c.GetSource().(type) {
	case *transomv1.SchemaSource_Directory:
		return schema.Directory(inDirectory(file.Directory, source.Directory)), nil
	case *transomv1.SchemaSource_DescriptorSet:
		return schema.DescriptorSet(inDirectory(file.Directory, source.DescriptorSet)), nil
	case *transomv1.SchemaSource_Reflection:
		name := source.Reflection.GetUpstream()
		conn := conns[name]
		if conn == nil {
			return nil, fmt.Errorf("reflection: there is no gRPC upstream %q", name)
		}
		client := attempt.NewClientOf(conn, conn.Backend(attempt.MaxOwnMessage))
		key := name + " " + conn.Target().Address
		if known := s.reflectors[key]; known != nil {
			known.Ask(client) // the one before may be about to be closed
			return known, nil
		}
		if file.Path == "" {
			name = conn.Target().Address // who gave flags gave no name
		}
		s.reflectors[key] = schema.Reflection(name, client)
		s.reflectors[key].Await(s.patience)
		s.reflectors[key].Send(s.metadata)
		return s.reflectors[key], nil
	}
	return nil, fmt.Errorf("the schema source is empty; expected directory, descriptor_set or reflection")
}

func inDirectory(directory, path string) string {
	if filepath.IsAbs(path) || directory == "" {
		return path
	}
	return filepath.Join(directory, path)
}
