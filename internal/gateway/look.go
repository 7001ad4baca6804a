package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// look goes through the schema files of a configuration that is itself wrong, so
// that people see all there is to mend at once. file is what could be read of it;
// nil for nothing. What may follow from what is wrong in the configuration is left
// out, as is all that is found there once more.
func (g *Gateway) look(ctx context.Context, file *config.File) Problems {
	if file == nil {
		return nil
	}
	reduced := &transomv1.Config{}
	for _, source := range file.Config.GetSchemas() {
		if looksThere(file, source) {
			reduced.Schemas = append(reduced.Schemas, source)
		}
	}
	undecided := undecidedBy(file)
	if undecided.all {
		_, problems := newSources().load(ctx, file.With(reduced), nil)
		return problems
	}
	whole := file.Config
	reduced.HttpRules, reduced.Policies, reduced.Defaults = whole.GetHttpRules(), whole.GetPolicies(), whole.GetDefaults()
	reduced.Auth, reduced.Stores = whole.GetAuth(), whole.GetStores()
	reduced.Compatibility, reduced.Rest, reduced.Metadata = whole.GetCompatibility(), whole.GetRest(), whole.GetMetadata()
	b := g.newBuilder(file.With(reduced), newSources())
	b.undecided = undecided
	defer b.discard()
	b.read(ctx)
	problems := slices.DeleteFunc(b.problems, func(p Problem) bool { return p.File == file.Path })
	return append(problems, b.lookAtRoutes(file)...)
}

// lookAtRoutes goes through the policies of plain HTTP routes that could be read. What they
// say of upstreams is not looked at.
func (b *builder) lookAtRoutes(file *config.File) (all Problems) {
	for i, rule := range file.Config.GetRoutes() {
		at := fmt.Sprintf("routes[%d]", i)
		if rule.GetPolicy() == nil || slices.ContainsFunc(file.Wrong(), func(path string) bool { return strings.HasPrefix(path, at+".policy") || path == at }) {
			continue
		}
		_, problems := b.snapshot.policies.Compile(policy.Target{
			RPC: routeName(rule.GetMatch()), PlainHTTP: true, Methods: rule.GetMatch().GetMethods(), Path: config.RoutePath(rule.GetMatch()),
			Layers: b.ownLayer(at, rule.GetPolicy()), Upstream: upstreamOf(rule),
		})
		all = append(all, problems...)
	}
	return all
}

// looksThere reports whether a source is a file or folder that can be looked at. The
// problems of the configuration name one that is not there, and nobody asks servers
// by a configuration that is wrong.
func looksThere(file *config.File, source *transomv1.SchemaSource) bool {
	path, folder := "", false
	switch s := source.GetSource().(type) {
	case *transomv1.SchemaSource_Directory:
		path, folder = s.Directory, true
	case *transomv1.SchemaSource_DescriptorSet:
		path = s.DescriptorSet
	}
	if path == "" {
		return false
	}
	info, err := regularfile.Stat(inDirectory(file.Directory, path))
	return err == nil && info.IsDir() == folder
}
