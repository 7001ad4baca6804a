package server

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
)

// NotReloaded is what has changed and could not be taken over while running: the last
// good one stays. It is told by the log, a metric and /readyz?verbose (Semantics 322).
type NotReloaded struct {
	log     *slog.Logger
	metrics *observe.Metrics

	mu  sync.Mutex
	why map[string]outdated // by what
}

// outdated is why something is not in effect as it should be.
type outdated struct {
	why   string
	never bool // nothing of it ever was
}

// head says in two words what is the matter.
func (o outdated) head() string {
	if o.never {
		return "never read"
	}
	return "not reloaded"
}

// NewNotReloaded tells by the log and the metrics of a telemetry.
func NewNotReloaded(t *observe.Telemetry) *NotReloaded {
	return &NotReloaded{log: t.Log, metrics: t.Metrics, why: map[string]outdated{}}
}

// Set says why something was not taken over; "" for what is in effect.
func (n *NotReloaded) Set(what, why string) { n.set(what, outdated{why: why}) }

// SetNeverRead says why something that never was in effect cannot be read.
func (n *NotReloaded) SetNeverRead(what, why string) { n.set(what, outdated{why, true}) }

func (n *NotReloaded) set(what string, now outdated) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.why[what]
	if now == before {
		return
	}
	n.metrics.NotReloaded(what, now.why != "")
	if now.why == "" {
		delete(n.why, what)
		if before.never {
			n.log.Info("in effect now", "setting", what)
			return
		}
		n.log.Info("in effect again", "setting", what)
		return
	}
	n.why[what] = now
	n.log.Warn(now.head()+": "+now.why, "setting", what)
}

// list is everything of the kind, one text each.
func (n *NotReloaded) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(n.why)) {
		all = append(all, n.why[what].head()+": "+what+": "+n.why[what].why)
	}
	return all
}

// fixed are the settings that take effect at the start alone.
func fixed(f *config.File) map[string]proto.Message {
	c := f.Config
	settings := map[string]proto.Message{
		"admin": c.GetAdmin(), "telemetry": c.GetTelemetry(), "shutdown_timeout": c.GetShutdownTimeout(),
		"fleet_secret": wrapperspb.String(c.GetFleetSecret()), // its name: what is in the file may change
	}
	for i, l := range c.GetListeners() {
		settings[fmt.Sprintf("listeners[%d]", i)] = l
	}
	return settings
}

// Compare looks for settings that are others than at the start, and for files of
// listeners that cannot be used.
func (s *Server) Compare(now *config.File) {
	if now == nil {
		return
	}
	before, after := fixed(s.file), fixed(now)
	for what := range maps.Keys(before) {
		if _, ok := after[what]; !ok {
			after[what] = nil
		}
	}
	for what, value := range after {
		why := ""
		if was, ok := before[what]; !ok || value == nil || !proto.Equal(was, value) {
			why = "it is another one in the configuration now; restart to have it take effect"
		}
		s.not.Set(what, why)
	}
	for _, secured := range s.allSecured() {
		secured.Review()
	}
	s.fleet.Review()
}
