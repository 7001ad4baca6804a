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

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/proxy"
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
	offered    map[*schema.Registry][]offered
	// patience is how long to wait for a server where the start goes on without it;
	// 0 where it does not.
	patience time.Duration
}

func newSources() *sources {
	return &sources{
		reflectors: map[string]*schema.Reflector{},
		plans:      map[*schema.Registry]*jsonwire.Plans{},
		registries: map[string]*schema.Registry{},
		tolerant:   map[*schema.Registry]bool{},
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
func (s *sources) load(ctx context.Context, file *config.File, conns map[string]*proxy.Conn) ([]*schema.Registry, Problems) {
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
		_, mine := file.Config.GetSchemas()[o.index].GetSource().(*transomv1.SchemaSource_Directory)
		s.tolerant[registry] = !mine
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

// open makes the sources of a configuration. All folders are one.
func (s *sources) open(file *config.File, conns map[string]*proxy.Conn) ([]*opened, Problems) {
	var all []*opened
	var problems Problems
	folders := foldersOf(file)
	for i, source := range file.Config.GetSchemas() {
		from, err := s.source(source, file, conns)
		if _, folder := source.GetSource().(*transomv1.SchemaSource_Directory); folder {
			if folders == nil {
				continue // opened with the first of them
			}
			from, folders = schema.Directories(folders...), nil
		}
		if err != nil {
			line, column := file.Position("schemas", i)
			problems = append(problems, Problem{File: file.Path, Line: line, Column: column, Message: err.Error()})
			continue
		}
		if slices.ContainsFunc(all, func(o *opened) bool { return o.from == from }) {
			continue // one server that is named twice
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

// offeredOf says what a source of a configuration offers; a folder, what all of them
// do.
func offeredOf(file *config.File, index int) []offered {
	all := file.Config.GetSchemas()
	if _, folder := all[index].GetSource().(*transomv1.SchemaSource_Directory); !folder {
		return []offered{newOffered(index, "", all[index])}
	}
	var list []offered
	for i, source := range all {
		if s, ok := source.GetSource().(*transomv1.SchemaSource_Directory); ok {
			list = append(list, newOffered(i, inDirectory(file.Directory, s.Directory), source))
		}
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
	maps.DeleteFunc(s.tolerant, func(r *schema.Registry, _ bool) bool { return !slices.Contains(used, r) })
	for _, r := range used {
		if plans[r] = s.plans[r]; plans[r] == nil {
			plans[r] = jsonwire.NewPlans(resolver{r})
			plans[r].Hide(func(f protoreflect.FieldDescriptor) bool { return schema.FieldOptions(f).GetSensitive() })
		}
	}
	s.plans = plans
}

func (s *sources) source(c *transomv1.SchemaSource, file *config.File, conns map[string]*proxy.Conn) (schema.Source, error) {
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
		key := name + " " + conn.Target().Address
		if s.reflectors[key] == nil {
			s.reflectors[key] = schema.Reflection(name, conn)
			s.reflectors[key].Await(s.patience)
		}
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
