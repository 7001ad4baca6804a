package gateway

import (
	"github.com/transom-gateway/transom/internal/schema"
)

// policyProblems notes what is wrong with the policies of a method. What a server says
// wrongly in its own descriptors is told later, and takes out the server: a mistake of
// another team must not keep the gateway from its start or from a reload (Semantics 323).
func (b *builder) policyProblems(r *schema.Registry, problems Problems) {
	tolerant := b.sources.patience > 0 && !b.incomplete && b.sources.isServers(r) && b.gateway.inService(r.Source()) != r
	for _, p := range problems {
		if p.Warning || !tolerant || p.File == b.file.Path {
			b.problems = append(b.problems, p)
			continue
		}
		if b.wrong == nil {
			b.wrong = map[*schema.Registry]Problems{}
		}
		b.wrong[r] = append(b.wrong[r], p)
	}
}

// withoutWrong builds again, with what the servers gave before whose options are wrong
// now, or with nothing in their place. problems are those of the schemas; they are given
// once more, with those of the servers.
func (b *builder) withoutWrong(problems Problems) (*builder, Problems) {
	instead := map[*schema.Registry]*schema.Registry{}
	for r, found := range b.wrong {
		instead[r] = b.gateway.inService(r.Source())
		meanwhile := "; none of the server's methods is served until it is mended"
		if instead[r] != nil {
			meanwhile = "; what the server gave before stays in service"
		}
		for _, p := range found {
			p.Warning = true
			p.Message += meanwhile
			problems = append(problems, p)
		}
	}
	again := b.gateway.newBuilder(b.file, b.sources)
	again.incomplete = true
	again.connect()
	again.prepare()
	again.compile(b.sources.replace(b.snapshot.registries, instead), problems)
	b.discard() // only now: both share their connections
	return again, problems
}

// inService is the registry of a source in service; nil for none.
func (g *Gateway) inService(source string) *schema.Registry {
	s := g.current.Load()
	if s == nil {
		return nil
	}
	for _, r := range s.registries {
		if r.Source() == source {
			return r
		}
	}
	return nil
}
