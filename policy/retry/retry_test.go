package retry_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/retry"
)

// methodOf is a method whose proto says the level of idempotency.
func methodOf(t *testing.T, level descriptorpb.MethodOptions_IdempotencyLevel) protoreflect.MethodDescriptor {
	t.Helper()
	name, none, path := "Get", ".google.protobuf.Empty", "retry_test.proto"
	service, syntax := "Books", "proto3"
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: &path, Syntax: &syntax, Dependency: []string{"google/protobuf/empty.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: &service, Method: []*descriptorpb.MethodDescriptorProto{
			{Name: &name, InputType: &none, OutputType: &none, Options: &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()}},
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0).Methods().Get(0)
}

const (
	unknown    = descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	idempotent = descriptorpb.MethodOptions_IDEMPOTENT
	noEffects  = descriptorpb.MethodOptions_NO_SIDE_EFFECTS
)

// TestCompile: Traffic 59 to 61, 68 to 70, 75, 77, 78: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	for _, test := range []struct {
		policy string
		level  descriptorpb.MethodOptions_IdempotencyLevel
		own    bool   // it is written for this method
		want   string // the summary, "" for no retries; or "!" and the problem
	}{
		{`retry {}`, idempotent, true, "up to 3 attempts on UNAVAILABLE, as the method is IDEMPOTENT; pauses 25ms to 250ms, at most 20 % of the backend's calls"},
		{`retry { max_attempts: 10 codes: "ABORTED" codes: "5002" codes: "UNAVAILABLE" per_try_timeout { seconds: 1 } budget_percent: 0 }`, noEffects, true,
			"up to 10 attempts on UNAVAILABLE, ABORTED, 5002, as the method is NO_SIDE_EFFECTS; pauses 25ms to 250ms, at most 0 % of the backend's calls; 1s each"},
		{`retry { idempotency_level: "NO_SIDE_EFFECTS" initial_backoff { seconds: 1 } }`, unknown, true,
			"up to 3 attempts on UNAVAILABLE, as the method is NO_SIDE_EFFECTS; pauses 1s to 1s, at most 20 % of the backend's calls"},
		{`retry {}`, unknown, false, ""},
		{`retry {}`, unknown, true, "!retry: p.Books/Get may have side effects each time"},
		{`retry { max_attempts: 0 }`, idempotent, true, ""},
		{`retry { max_attempts: 1 }`, unknown, true, ""},
		{`retry { max_attempts: 11 }`, idempotent, true, "!retry.max_attempts: found 11, expected 2 to 10"},
		{`retry { budget_percent: 101 }`, idempotent, true, "!retry.budget_percent: found 101"},
		{`retry { buffer_bytes: 67108865 }`, idempotent, true, "!retry.buffer_bytes: found 67108865"},
		{`retry { per_try_timeout {} }`, idempotent, true, "!retry.per_try_timeout: found 0s"},
		{`retry { initial_backoff { nanos: -1 } }`, idempotent, true, "!retry.initial_backoff: found -1ns"},
		{`retry { max_backoff { nanos: 1 } }`, idempotent, true, "!retry.max_backoff: found 1ns, which is shorter than the first pause, 25ms"},
		{`retry { codes: "NOT_FOUND" }`, idempotent, true, "!retry.codes[0]: another attempt cannot change NOT_FOUND"},
		{`retry { codes: "OK" }`, idempotent, true, "!retry.codes[0]: another attempt cannot change OK"},
		{`retry { codes: "ABORTED" codes: "ABORT" }`, idempotent, true, `!retry.codes[1]: found "ABORT", expected a gRPC code, ABORTED, `},
		{`retry { idempotency_level: "IDEMPOTENCY" }`, idempotent, true, `!retry.idempotency_level: found "IDEMPOTENCY", expected IDEMPOTENT or NO_SIDE_EFFECTS; did you mean IDEMPOTENT?`},
		{`retry { hedge_after { seconds: 1 } }`, noEffects, true,
			"up to 2 attempts on UNAVAILABLE, as the method is NO_SIDE_EFFECTS; hedged: the next one at another endpoint after 1s without an answer; pauses 25ms to 250ms, at most 20 % of the backend's calls"},
		{`retry { hedge_percentile: 95 max_attempts: 4 }`, noEffects, true,
			"up to 4 attempts on UNAVAILABLE, as the method is NO_SIDE_EFFECTS; hedged: the next one at another endpoint after the time within which 95 % of its calls are answered; pauses 25ms to 250ms, at most 20 % of the backend's calls"},
		{`retry { hedge_percentile: 99 hedge_after { nanos: 5000000 } }`, noEffects, true,
			"up to 2 attempts on UNAVAILABLE, as the method is NO_SIDE_EFFECTS; hedged: the next one at another endpoint after the time within which 99 % of its calls are answered, at least 5ms; pauses 25ms to 250ms, at most 20 % of the backend's calls"},
		{`retry { hedge_after { seconds: 1 } }`, idempotent, true, "!retry.hedge_after: attempts side by side need a method without side effects, but p.Books/Get is IDEMPOTENT"},
		{`retry { hedge_percentile: 95 }`, idempotent, true, "!retry.hedge_percentile: attempts side by side need a method without side effects"},
		{`retry { hedge_after { seconds: 1 } }`, idempotent, false, "up to 3 attempts on UNAVAILABLE, as the method is IDEMPOTENT; pauses 25ms to 250ms, at most 20 % of the backend's calls"},
		{`retry { hedge_after {} }`, noEffects, true, "!retry.hedge_after: found 0s"},
		{`retry { hedge_percentile: 100 }`, noEffects, true, "!retry.hedge_percentile: found 100, expected 50 to 99"},
		{`retry { hedge_percentile: 49 }`, noEffects, true, "!retry.hedge_percentile: found 49, expected 50 to 99"},
		{`retry { hedge_percentile: 95 max_attempts: 1 }`, noEffects, true, ""},
		{`retry { disabled: true }`, idempotent, true, ""},
	} {
		t.Run(test.policy, func(t *testing.T) {
			b := policytest.NewAuthBench(t, nil, retry.Kind())
			layers := policytest.LayersOf(t, test.policy)
			layers[0].Exact = test.own
			b.CheckExplained(t, policy.Target{Method: methodOf(t, test.level), RPC: "p.Books/Get", Layers: layers}, test.want)
		})
	}
}
