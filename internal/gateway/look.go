package gateway

import (
	"context"
	"fmt"
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
	auth, ok := standIn(file.Config.GetAuth(), file.Wrong())
	if !ok || slices.ContainsFunc(file.Wrong(), misleads) {
		_, problems := newSources().load(ctx, file.With(reduced), nil)
		return problems
	}
	whole := file.Config
	reduced.HttpRules, reduced.Policies, reduced.Defaults = whole.GetHttpRules(), whole.GetPolicies(), whole.GetDefaults()
	reduced.Auth, reduced.Stores = auth, whole.GetStores()
	reduced.Compatibility, reduced.Rest, reduced.Metadata = whole.GetCompatibility(), whole.GetRest(), whole.GetMetadata()
	b := g.newBuilder(file.With(reduced), newSources())
	defer b.discard()
	b.read(ctx)
	return slices.DeleteFunc(b.problems, func(p Problem) bool { return p.File == file.Path })
}

// misleads tells whether what is wrong at a path of the configuration can make a
// right rule or policy of a proto look wrong.
func misleads(path string) bool {
	field, inner, inside := strings.Cut(path, ".")
	field, _, _ = strings.Cut(field, "[")
	switch field {
	case "listeners", "admin", "schemas", "upstreams", "routes", "events", "metadata",
		"telemetry", "trusted_proxies", "shutdown_timeout", "own_services":
		return false
	case "http_rules", "policies":
		// Whose rule it is decides which rule of a proto has no say.
		return !inside || strings.HasSuffix(path, ".selector")
	case "rest":
		return !inside || inner == "repeated_path_values"
	case "defaults":
		return !inside || strings.HasPrefix(inner, "auth")
	case "auth":
		_, of, _ := strings.Cut(inner, ".") // jwt[0].of, session.of
		return of == "" || of == "issuer" || of == "private_key" || of == "key_id"
	}
	return true
}

// standIn is auth with nothing wrong in it, as far as protos can see: of an issuer
// that it is there, and so of sessions. It is false for an issuer that also signs.
func standIn(auth *transomv1.AuthConfig, wrong []string) (*transomv1.AuthConfig, bool) {
	within := func(path string) bool {
		return slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, path) })
	}
	if !within("auth.") {
		return auth, true
	}
	other := &transomv1.AuthConfig{Session: auth.GetSession()}
	if auth.Session != nil && within("auth.session.") {
		other.Session = &transomv1.SessionConfig{}
	}
	for i, issuer := range auth.GetJwt() {
		if within(fmt.Sprintf("auth.jwt[%d].", i)) {
			if issuer.GetPrivateKey() != "" {
				return nil, false
			}
			issuer = &transomv1.JwtIssuer{
				Issuer: issuer.GetIssuer(), Audience: "anybody",
				Keys: &transomv1.JwtIssuer_Secret{Secret: strings.Repeat("s", 64)}, // no token is looked at
			}
		}
		other.Jwt = append(other.Jwt, issuer)
	}
	return other, true
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
