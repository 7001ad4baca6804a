package validate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/policytest"
)

// graph is a file whose messages have fields of each other, and some have rules, of which some are broken.
func graph(random *rand.Rand, messages int) string {
	var b strings.Builder
	b.WriteString("syntax = \"proto3\";\npackage graph.v1;\nimport \"buf/validate/validate.proto\";\nservice Graph { rpc Get(M0) returns (M0); }\n")
	for i := range messages {
		fmt.Fprintf(&b, "message M%d {\n  string name = 1", i)
		switch random.IntN(8) {
		case 0:
			b.WriteString(" [(buf.validate.field).string.min_len = 3]")
		case 1:
			b.WriteString(" [(buf.validate.field).int32.gt = 3]")
		}
		b.WriteString(";\n")
		for number := range random.IntN(3) {
			fmt.Fprintf(&b, "  M%d f%d = %d;\n", random.IntN(messages), number, number+2)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// TestReach: what is known of a message and all below it is what a walk over them finds, whichever message
// is asked of first.
func TestReach(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same graphs each time
		file := policytest.Load(t, graph(random, 1+random.IntN(24))).Services()[0].ParentFile()
		validator, err := protovalidate.New()
		if err != nil {
			t.Fatal(err)
		}
		book := &ruleBook{validator: validator, messages: map[protoreflect.MessageDescriptor]messageRules{}, reached: map[protoreflect.MessageDescriptor]reach{}}
		for _, i := range random.Perm(file.Messages().Len()) {
			var want reach
			for m := range schema.Reachable(file.Messages().Get(i)) {
				rules := book.look(m)
				want.rules, want.broken = want.rules || rules.any, want.broken || len(rules.broken) > 0
			}
			if got := book.reachOf(file.Messages().Get(i)); got != want {
				t.Errorf("seed %d, M%d: found %+v, want %+v", seed, i, got, want)
			}
		}
	}
}
