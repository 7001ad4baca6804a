package kinds_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// zeros are the numbers and times of policies for which 0 is a value of its own.
var zeros = map[string]bool{
	"timeout": true, "idle_timeout": true, // take back what a wider place says
	"concurrency.queue": true, "retry.max_attempts": true, "retry.budget_percent": true, "split.branches[0].weight": true,
	"cors.max_age": true, "headers.security.hsts.max_age": true,
}

// TestZerosOfPolicies: a number or a time that is written as 0 in a policy is refused where it stands, unless it is a value of
// its own: nowhere does it pass for a line that is not there.
func TestZerosOfPolicies(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds.All()...)
	seen := 0
	eachNumber(&transomv1.Policy{}, func(path string, p *transomv1.Policy) {
		seen++
		_, problems := b.Compile(policytest.ShopTarget("Buy", p))
		_, onRoute := b.Compile(policy.Target{RPC: "page", PlainHTTP: true, Upstream: "pages", Methods: []string{"GET"}, Path: "/page", Layers: []policy.Layer{{Policy: p, Exact: true}}})
		problems = append(problems, onRoute...) // a method that writes has no cache and no mirror
		refused := false
		for _, problem := range problems {
			refused = refused || strings.Contains(problem.String(), path+": found 0") || strings.Contains(problem.String(), path+" is 0")
		}
		if refused == zeros[path] {
			t.Errorf("%s: 0 is refused: %v\n%v", path, refused, problems)
		}
	})
	if seen < 40 {
		t.Errorf("%d numbers, want more", seen)
	}
}

// eachNumber calls f with a policy for each number and each time that one can have, which has that alone, as 0.
func eachNumber(p *transomv1.Policy, f func(path string, p *transomv1.Policy)) {
	var walk func(m protoreflect.Message, path string)
	walk = func(m protoreflect.Message, path string) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			at := path + string(field.Name())
			switch {
			case field.IsMap():
			case field.Message() != nil && field.Message().FullName() == "google.protobuf.Duration":
				m.Set(field, m.NewField(field))
				f(at, p)
			case field.IsList() && field.Message() != nil:
				walk(m.Mutable(field).List().AppendMutable().Message(), policy.Index(at, 0)+".")
			case field.Message() != nil:
				walk(m.Mutable(field).Message(), at+".")
			case field.Kind() == protoreflect.Uint32Kind || field.Kind() == protoreflect.Uint64Kind || field.Kind() == protoreflect.DoubleKind:
				m.Set(field, field.Default())
				f(at, p)
			default:
				continue
			}
			m.Clear(field)
		}
	}
	walk(p.ProtoReflect(), "")
}
