package kinds_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// disabledText says of a policy that a wider place's is taken back.
func disabledText(field protoreflect.FieldDescriptor) string {
	if field.Message().FullName() == "google.protobuf.Duration" {
		return string(field.Name()) + " {}"
	}
	return string(field.Name()) + " { disabled: true }"
}

// TestSemantics329TakeBack takes back each policy that a service has, at one of its
// methods.
func TestSemantics329TakeBack(t *testing.T) {
	wide := map[protoreflect.Name]string{
		"auth":              `auth { jwt {} }`,
		"login":             `login { subject: "user" session {} }`,
		"logout":            `logout { all: true }`,
		"rate_limit":        `rate_limit { requests: 1 } rate_limit { requests: 2 key: ROUTE }`,
		"concurrency":       `concurrency { max: 1 }`,
		"timeout":           `timeout { seconds: 1 }`,
		"idle_timeout":      `idle_timeout { seconds: 1 }`,
		"limits":            `limits { max_header_bytes: 100 }`,
		"retry":             `retry { idempotency_level: "IDEMPOTENT" }`,
		"circuit_breaker":   `circuit_breaker {}`,
		"fault":             `fault { abort { code: "UNAVAILABLE" } }`,
		"mirror":            `mirror { upstream: "books" }`,
		"idempotency_key":   `idempotency_key { scope: METHOD }`,
		"split":             `split { branches { upstream: "books" } }`,
		"cache":             `cache { ttl { seconds: 60 } }`,
		"cors":              `cors { allowed_origins: "*" }`,
		"headers":           `headers { security {} }`,
		"json":              `json { proto_names: true }`,
		"status":            `status { code: "NOT_FOUND" http_status: 410 } status { code: "ABORTED" http_status: 410 }`,
		"response_metadata": `response_metadata { http_status: true }`,
	}
	fields := (&transomv1.Policy{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch field.Name() {
		case "validate": // its rules hold where nothing is said
			continue
		case "hidden": // hidden: false takes it back
			continue
		}
		if slices.Contains([]protoreflect.Name{"events"}, field.Name()) {
			continue
		}
		text := wide[field.Name()]
		if text == "" {
			t.Errorf("%s: say here what it is taken back from", field.Name())
		}
		t.Run("Semantics 329: "+string(field.Name()), func(t *testing.T) {
			b := policytest.SecretBench(t, nil, kinds.All()...)
			set := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t, text, disabledText(field))})
			if set.Effective.ProtoReflect().Has(field) || len(set.Parts()) > 0 || len(set.Explain()) > 0 {
				t.Errorf("%v holds, explained as %v", set.Effective, set.Explain())
			}
			again := policy.Target{Layers: policytest.LayersOf(t, text, disabledText(field), text)}
			if slices.Contains([]protoreflect.Name{"login", "logout", "split", "mirror", "idempotency_key", "cache"}, field.Name()) {
				return // it needs a method, or an upstream
			}
			if set := policytest.MustCompile(t, b.Compiler, again); !set.Effective.ProtoReflect().Has(field) {
				t.Error("a narrower place cannot set it again")
			}
		})
	}
	for _, c := range []struct{ policy, want string }{
		{`concurrency { max: 1 disabled: true }`, "concurrency: found disabled: true beside other fields"},
		{`rate_limit { requests: 1 } rate_limit { disabled: true }`, "rate_limit: found disabled: true beside others"},
		{`status { code: "NOT_FOUND" disabled: true }`, "status: found disabled: true beside others"},
	} {
		t.Run("Semantics 329: "+c.policy, func(t *testing.T) {
			b := policytest.SecretBench(t, nil, kinds.All()...)
			if _, problems := b.Compile(policy.Target{Layers: policytest.LayersOf(t, c.policy)}); len(problems) != 1 || !strings.Contains(problems.Error(), c.want) {
				t.Errorf("got %v", problems)
			}
		})
	}
}

// TestSemantics329Applies: what cannot hold for a method is refused where it is
// written for it, and without effect where it is inherited.
func TestSemantics329Applies(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		method       protoreflect.Name
		want         string
	}{
		{"login", `login { subject: "user" session {} }`, "Watch", "login"},
		{"logout", `logout {}`, "Watch", "logout"},
		{"idle_timeout", `idle_timeout { seconds: 1 }`, "Buy", "idle_timeout: the method does not stream"},
	} {
		t.Run("Semantics 329: "+c.name, func(t *testing.T) {
			b := policytest.SecretBench(t, nil, kinds.All()...)
			layers := policytest.LayersOf(t, c.policy)
			set := policytest.MustCompile(t, b.Compiler, policy.Target{Method: policytest.ShopMethod(c.method), Layers: layers})
			for _, p := range set.Parts() {
				if p.Name() == c.name {
					t.Errorf("an inherited %s holds", c.name)
				}
			}
			if set.IdleTimeout != 0 || set.ReadsMessages() {
				t.Errorf("an inherited %s has an effect", c.name)
			}
			layers[0].Exact = true
			if _, problems := b.Compile(policy.Target{Method: policytest.ShopMethod(c.method), Layers: layers}); len(problems) != 1 || !strings.Contains(problems.Error(), c.want) {
				t.Errorf("written for the method: %v", problems)
			}
		})
	}
}
