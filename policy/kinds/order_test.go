package kinds_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestWhatARefusedCallUsesUp: a call is counted when it comes, whatever is found
// in its message later; a limit whose key stands in the message counts behind
// allow, but before validate.
func TestWhatARefusedCallUsesUp(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	method := registry.Services()[0].Methods().ByName("Put")
	p := &transomv1.Policy{}
	if err := prototext.Unmarshal([]byte(`
		auth { jwt {} allow: "request.last < 9" }
		rate_limit { name: "caller" requests: 100 key: PRINCIPAL }
		rate_limit { name: "all" requests: 100 key: ROUTE }
		rate_limit { name: "book" requests: 100 key: CEL cel: "request.name" }`), p); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, token, message string
		want                 codes.Code
		by                   string // who refuses
		caller, all, book    string // what is announced
	}{
		{"nobody uses up nothing", "", ``, codes.Unauthenticated, "auth", "", "", ""},
		{"not allowed by its message", "ada", `{"name": "long", "author": "x", "last": 10}`, codes.PermissionDenied, "auth", "r=99", "r=99", ""},
		{"not valid", "ada", `{"name": "a", "author": "x"}`, codes.InvalidArgument, "validate", "r=99", "r=99", "r=99"},
		{"good", "ada", `{"name": "long", "slug": "long", "author": "x", "last": 1}`, codes.OK, "", "r=99", "r=99", "r=99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := policytest.SecretBench(t, nil, kinds.All()...).Compiler
			set := policytest.MustCompile(t, c, policy.Target{Method: method, RPC: "rules.v1.Rules/Put", Extensions: policytest.SchemaExtensions{Registry: registry},
				Layers: []policy.Layer{{Policy: p, Where: "rules.proto:1:1"}}})
			r := policytest.NewCall(nil)
			if test.token != "" {
				r = policytest.WithToken(policytest.SecretToken(t, map[string]any{"sub": test.token}))
			}
			ctx, err := set.Admit(context.Background(), r)
			if err == nil {
				book := dynamicpb.NewMessage(method.Input())
				if err := protojson.Unmarshal([]byte(test.message), book); err != nil {
					t.Fatal(err)
				}
				wire, _ := proto.Marshal(book)
				err = set.Message(ctx, r, wire)
			}
			policytest.WantCode(t, err, test.want)
			if r.RefusedBy != test.by {
				t.Errorf("refused by %q, want %q", r.RefusedBy, test.by)
			}
			said := strings.Join(r.ResponseHeader.Values("RateLimit"), ", ")
			for name, want := range map[string]string{"caller": test.caller, "all": test.all, "book": test.book} {
				_, rest, found := strings.Cut(said, `"`+name+`";`)
				if got, _, _ := strings.Cut(rest, ";"); got != want || found != (want != "") {
					t.Errorf("the limit %q: %q of %q, want %q", name, got, said, want)
				}
			}
		})
	}
}
