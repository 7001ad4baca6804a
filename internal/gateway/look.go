package gateway

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// look goes through the schema files of a configuration that is itself wrong, so
// that people see all there is to mend at once. file is what could be read of it;
// nil for nothing. What it finds in the configuration is left out: that may follow
// from what is wrong there.
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
	if slices.ContainsFunc(file.Wrong(), misleads) {
		_, problems := newSources().load(ctx, file.With(reduced), nil)
		return problems
	}
	whole := file.Config
	reduced.HttpRules, reduced.Policies, reduced.Defaults = whole.GetHttpRules(), whole.GetPolicies(), whole.GetDefaults()
	reduced.Auth, reduced.Stores = whole.GetAuth(), whole.GetStores()
	reduced.Compatibility, reduced.Rest, reduced.Metadata = whole.GetCompatibility(), whole.GetRest(), whole.GetMetadata()
	b := g.newBuilder(file.With(reduced), newSources())
	defer b.discard()
	b.read(ctx)
	return slices.DeleteFunc(b.problems, func(p Problem) bool { return p.File == file.Path })
}

// misleads tells whether what is wrong at a path of the configuration can make a
// right rule or policy of a proto look wrong.
func misleads(path string) bool {
	field, _, inside := strings.Cut(path, ".")
	field, _, _ = strings.Cut(field, "[")
	switch field {
	case "listeners", "admin", "schemas", "upstreams", "routes", "events",
		"telemetry", "trusted_proxies", "shutdown_timeout", "own_services":
		return false
	case "http_rules", "policies":
		// Whose rule it is decides which rule of a proto has no say.
		return !inside || strings.HasSuffix(path, ".selector")
	}
	return true
}

// looksThere tells whether a source is a file or folder that can be looked at. The
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
	info, err := os.Stat(inDirectory(file.Directory, path))
	return err == nil && info.IsDir() == folder
}
