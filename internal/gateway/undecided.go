package gateway

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events/rule"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
)

// undecided are what cannot be judged in the protos as long as parts of the
// configuration are wrong: a right rule or policy may look wrong beside them, or a
// wrong one may have no say.
type undecided struct {
	all    bool            // nothing but the schemas can be judged
	rules  bool            // the HTTP rules
	fields map[string]bool // fields of a policy; "*" for every one
	// needed reports whether a policy needs something that is wrong.
	needed func(path string) bool
}

// undecidedBy finds them by the paths of what is wrong.
func undecidedBy(file *config.File) *undecided {
	_, events := rule.Kinds(rule.Options{})
	d := &undecided{fields: map[string]bool{}, needed: policy.Undecided(slices.Concat(kinds.All(), events), file.Wrong())}
	for _, path := range file.Wrong() {
		section, rest, _ := strings.Cut(path, ".")
		list, _, _ := strings.Cut(section, "[")
		switch list {
		case "listeners", "admin", "schemas", "upstreams", "routes", "events",
			"telemetry", "trusted_proxies", "client_ip", "shutdown_timeout", "own_services", "metadata",
			"forwarded", "via", "error_pages", "faults", "maintenance", "cache", "idempotency", "overload",
			"auth", "stores", "defaults": // what policies need of them they say themselves
		case "compatibility":
			d.rules = true
		case "rest":
			// One setting alone decides whether a rule is right.
			d.rules = d.rules || rest == "" || strings.HasPrefix(rest, "repeated_path_values")
		case "http_rules":
			// Whose rule it is decides which rule of a proto has no say.
			d.rules = d.rules || rest == "" || strings.HasSuffix(rest, "selector")
		case "policies":
			d.policies(file, section, rest)
		default:
			d.all = true
		}
	}
	return d
}

// policies notes the fields that a rule of the configuration would have replaced.
func (d *undecided) policies(file *config.File, section, rest string) {
	part, field, _ := strings.Cut(rest, ".")
	switch {
	case part == "policy" && field != "":
		name, _, _ := strings.Cut(field, ".")
		name, _, _ = strings.Cut(name, "[")
		d.fields[name] = true
	case part == "selector":
		for i, rule := range file.Config.GetPolicies() {
			if section != fmt.Sprintf("policies[%d]", i) {
				continue
			}
			rule.GetPolicy().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
				d.fields[string(f.Name())] = true
				return true
			})
		}
	default:
		d.fields["*"] = true
	}
}

// policy reports whether nothing is to be said of a field of a policy, by its path.
func (d *undecided) policy(path string) bool {
	field, _, _ := strings.Cut(path, ".")
	field, _, _ = strings.Cut(field, "[")
	return d.fields["*"] || d.fields[field] || d.needed(path) || namesUpstream(path)
}

// namesUpstream reports whether a field of a policy names an upstream: nobody connects to
// those of a configuration that is wrong, so that none is known.
func namesUpstream(path string) bool {
	return strings.HasSuffix(path, ".upstream") || path == "circuit_breaker.fallback"
}
