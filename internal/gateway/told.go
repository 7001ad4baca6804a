package gateway

import (
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
)

// told counts what a server has told by its reflection.
type told struct {
	source            string
	methods, policies int // those that are served, and those of them that have a policy
}

// tell counts a method that is served.
func (b *builder) tell(r *schema.Registry, set *policy.Set) {
	if !b.sources.isServers(r) {
		return
	}
	if b.told == nil {
		b.told = map[*schema.Registry]*told{}
	}
	if b.told[r] == nil {
		b.told[r] = &told{source: r.Source()}
	}
	b.told[r].methods++
	if proto.Size(set.Effective) > 0 {
		b.told[r].policies++
	}
}

// newlyTold is what has been told since the snapshot in service, in the order of the
// sources.
func (b *builder) newlyTold() []*told {
	var all []*told
	for _, r := range b.snapshot.registries {
		if t := b.told[r]; t != nil && b.gateway.inService(r.Source()) != r {
			all = append(all, t)
		}
	}
	return all
}

// log says how many methods there are and how many have policies. Nobody else would
// notice a server whose code was made without the options of its protos: its methods are
// served, to everybody.
func (t *told) log(log *slog.Logger) {
	text := fmt.Sprintf("%d methods by the server's reflection, %d with a policy", t.methods, t.policies)
	if t.policies == 0 {
		text = fmt.Sprintf("%d methods by the server's reflection, none with a policy: if its protos have policies, its code was made "+
			"without them; write them under policies or defaults, or make it anew", t.methods)
	}
	log.Info(text, "source", t.source)
}
