package validate

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
)

func rulesSet(t testing.TB, registry *schema.Registry, method protoreflect.Name) (*policy.Set, policy.Problems) {
	t.Helper()
	b := policytest.NewBench(t, policy.StateOptions{}, Kind())
	b.Method = registry.Services()[0].Methods().ByName(method)
	c, problems := policy.New([]policy.Kind{Kind()}, policy.Environment{State: b.State, Extensions: policytest.SchemaExtensions{Registry: registry}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(c.Close)
	return c.Compile(b.Target(""))
}

// wire turns JSON into a message of the method's request.
func wire(t testing.TB, m protoreflect.MessageDescriptor, json string) []byte {
	t.Helper()
	message := dynamicpb.NewMessage(m)
	if err := protojson.Unmarshal([]byte(json), message); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func violationsOf(err error) map[string]string {
	found := map[string]string{}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.FieldViolations {
				found[v.Field] = v.Reason
			}
		}
	}
	return found
}

func TestValidate(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	set, problems := rulesSet(t, registry, "Put")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	book := registry.Services()[0].Methods().ByName("Put").Input()
	for _, test := range []struct {
		name, json string
		want       map[string]string // field to rule
		text       string
	}{
		{"valid", `{"name": "abc", "slug": "a-b", "author": "x"}`, nil, ""},
		{"field", `{"name": "ab", "slug": "a", "author": "x"}`, map[string]string{"name": "string.min_len"}, "name: must be at least 3 characters"},
		{"predefined rule of the schema", `{"name": "abc", "slug": "A B", "author": "x"}`, map[string]string{"slug": "string.slug"}, "slug: must be a slug"},
		{"message rule", `{"name": "abc", "slug": "a", "author": "x", "first": 2, "last": 1}`, map[string]string{"": "book.pages"}, "first must not be after last"},
		{"oneof", `{"name": "abc", "slug": "a"}`, map[string]string{"by": "required"}, "by: "},
		{"several", `{"name": "ab", "slug": "!", "author": "x", "marks": [1, 0]}`,
			map[string]string{"name": "string.min_len", "slug": "string.slug", "marks[1]": "int32.gt"}, "(and 2 more)"},
		{"nested in a map", `{"name": "abc", "slug": "a", "author": "x", "related": {"k": {"name": "a", "slug": "a", "author": "x"}}}`,
			map[string]string{`related["k"].name`: "string.min_len"}, `related["k"].name: `},
		{"sensitive", `{"name": "abc", "slug": "a", "author": "x", "secret": "hunter2!"}`, map[string]string{"secret": "secret.long"}, "secret: the value is not valid"},
		{"sensitive map", `{"name": "abc", "slug": "a", "author": "x", "tokens": {"hunter2": 0}}`, map[string]string{"tokens": "int32.gt"}, "tokens: the value is not valid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := policytest.Request("192.0.2.1")
			err := set.Message(context.Background(), r, wire(t, book, test.json))
			if test.want == nil {
				if err != nil {
					t.Errorf("found %v, want no error", err)
				}
				return
			}
			if status.Code(err) != codes.InvalidArgument || r.RefusedBy != "validate" {
				t.Fatalf("found %v by %q, want INVALID_ARGUMENT by validate", err, r.RefusedBy)
			}
			if text := status.Convert(err).Message(); !strings.Contains(text, test.text) || strings.Contains(text, "hunter2") {
				t.Errorf("found the message %q, want %q in it", text, test.text)
			}
			got := violationsOf(err)
			for field, rule := range test.want {
				if got[field] != rule {
					t.Errorf("field %q: found rule %q, want %q", field, got[field], rule)
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("found violations %v, want %v", got, test.want)
			}
		})
	}
	if err := set.Message(context.Background(), policytest.Request("192.0.2.1"), []byte{0xff, 0xff}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("broken bytes: %v, want INVALID_ARGUMENT", err)
	}
}

func TestValidateCostsNothingWithoutRules(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	for method, want := range map[protoreflect.Name]bool{"Put": true, "Upload": true, "Nested": true, "Free": false} {
		set, problems := rulesSet(t, registry, method)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if set.ReadsMessages() != want || (len(set.Parts()) > 0) != want {
			t.Errorf("%s: reads messages %t, want %t", method, set.ReadsMessages(), want)
		}
	}
	b := policytest.NewBench(t, policy.StateOptions{}, Kind())
	b.Method = registry.Services()[0].Methods().ByName("Put")
	if set := b.Set(`validate { disabled: true }`); set.ReadsMessages() {
		t.Error("validate.disabled still reads messages")
	}
}

func TestValidateEachMessageOfAStream(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	set, _ := rulesSet(t, registry, "Upload")
	m := registry.Services()[0].Methods().ByName("Upload").Input()
	r := policytest.Request("192.0.2.1")
	for i, name := range []string{"abc", "abcd", "a"} {
		err := set.Message(context.Background(), r, wire(t, m, `{"name": "`+name+`", "slug": "a", "author": "x"}`))
		if (err != nil) != (i == 2) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func TestBrokenRulesStopTheLoad(t *testing.T) {
	source := `syntax = "proto3";
package rules.v1;
import "buf/validate/validate.proto";
message Book {
  string name = 1 [(buf.validate.field).cel = { id: "a" expression: "this.size(" }];
  int32 pages = 2 [(buf.validate.field).string.min_len = 3];
  Chapter chapter = 3;
  string fine = 4 [(buf.validate.field).string.min_len = 3];
}
message Chapter {
  option (buf.validate.message).cel = { id: "b" expression: "this.nothing == 1" };
  string title = 1;
}
service Rules { rpc Put(Book) returns (Book); }
`
	set, problems := rulesSet(t, policytest.Load(t, source), "Put")
	if set != nil || len(problems) != 3 {
		t.Fatalf("found %d problems, want 3:\n%v", len(problems), problems)
	}
	for i, want := range []struct {
		line int
		text string
	}{{5, "rules.v1.Book.name"}, {6, "rules.v1.Book.pages"}, {11, "rules.v1.Chapter"}} {
		p := problems[i]
		if p.Line != want.line || !strings.HasSuffix(p.File, "rules.proto") || !strings.Contains(p.Message, want.text) || strings.Contains(p.Message, "\n") {
			t.Errorf("found %q, want line %d of rules.proto and %q", p, want.line, want.text)
		}
	}
}

// One byte of a request can be a violation of 600; the answer is bounded.
func TestViolationsAreBounded(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	set, _ := rulesSet(t, registry, "Put")
	marks := func(n int) []byte {
		b := protowire.AppendTag(nil, 6, protowire.BytesType)
		b = protowire.AppendBytes(b, make([]byte, n))
		return append(b, wire(t, registry.Services()[0].Methods().ByName("Put").Input(), `{"name": "abc", "slug": "a", "author": "x"}`)...)
	}
	for n, want := range map[int]int{1: 1, 1000: maxViolations, 1 << 20: 1} {
		err := set.Message(context.Background(), policytest.Request("192.0.2.1"), marks(n))
		if got := len(violationsOf(err)); got != want {
			t.Errorf("%d bad elements: %d violations, want %d", n, got, want)
		}
		if size := proto.Size(status.Convert(err).Proto()); size > 8<<10 {
			t.Errorf("%d bad elements: the status has %d bytes, want what fits into a header", n, size)
		}
	}
	key := strings.Repeat("é", 5000)
	err := set.Message(context.Background(), policytest.Request("192.0.2.1"),
		wire(t, registry.Services()[0].Methods().ByName("Put").Input(), `{"name": "abc", "slug": "a", "author": "x", "related": {"`+key+`": {}}}`))
	for field := range violationsOf(err) {
		if len(field) > maxViolationText+3 || strings.ContainsRune(field, '�') {
			t.Errorf("the field of a violation has %d bytes: %.40q…", len(field), field)
		}
	}
}

// Semantics 51: no request costs more than 100 times its size in memory.
func TestEmptyMessagesAreCountedBeforeTheyAreMade(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	set, _ := rulesSet(t, registry, "Put")
	empty := []byte{10<<3 | 2, 0} // plain: {}
	if err := set.Message(context.Background(), policytest.Request("192.0.2.1"), bytes.Repeat(empty, 9000)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("9000 empty messages: %v, want them looked at", err)
	}
	if err := set.Message(context.Background(), policytest.Request("192.0.2.1"), bytes.Repeat(empty, 1<<20)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a million empty messages: %v, want RESOURCE_EXHAUSTED", err)
	}
	small := []byte{10<<3 | 2, 3, 1<<3 | 2, 1, 'a'} // plain: {name: "a"}
	if err := set.Message(context.Background(), policytest.Request("192.0.2.1"), bytes.Repeat(small, 100_000)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("100,000 small messages: %v, want them looked at", err)
	}
}

// Semantics 51, measured: the worst that is let through.
//
//transom:norace
func TestLookingIntoARequestIsBounded(t *testing.T) {
	registry := policytest.Load(t, policytest.RulesProto)
	set, _ := rulesSet(t, registry, "Put")
	valid := wire(t, registry.Services()[0].Methods().ByName("Put").Input(), `{"name": "abc", "slug": "a", "author": "x"}`)
	for name, part := range map[string][]byte{
		"empty messages": {10<<3 | 2, 0, 10<<3 | 2, 0, 3 << 3, 1},
		"nested":         {10<<3 | 2, 4, 2<<3 | 2, 0, 2<<3 | 2, 0, 3 << 3, 1, 3 << 3, 1},
		"map entries":    {7<<3 | 2, 0, 7<<3 | 2, 0, 3 << 3, 1},
		"numbers":        {6 << 3, 1},
		"unknown fields": {31 << 3 & 0x7f, 1},
	} {
		message := append(bytes.Repeat(part, (1<<20)/len(part)), valid...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := set.Message(context.Background(), policytest.Request("192.0.2.1"), message)
		runtime.ReadMemStats(&after)
		taken := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(message))
		t.Logf("%s: %.0f times the size, %v", name, taken, err)
		if taken > 100 {
			t.Errorf("%s: looking took %.0f times the size of the message, want at most 100", name, taken)
		}
	}
}

// countMessages is the plain way to count: make them all.
func countMessages(m protoreflect.Message) int {
	count := 0
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				// An entry is no object of its own; counting it stands for a value that is
				// made though it is not on the wire.
				if field.MapValue().Message() != nil {
					count += 1 + countMessages(v.Message())
				}
				return true
			})
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				count += 1 + countMessages(value.List().Get(i).Message())
			}
		default:
			count += 1 + countMessages(value.Message())
		}
		return true
	})
	return count
}

func FuzzTooManyMessages(f *testing.F) {
	registry := policytest.Load(f, policytest.RulesProto)
	m := registry.Services()[0].Methods().ByName("Put").Input()
	f.Add(wire(f, m, `{"name": "a", "related": {"k": {"plain": [{}, {"more": [{}, {}]}]}}}`))
	f.Add(bytes.Repeat([]byte{10<<3 | 2, 0}, 100))
	f.Add([]byte{11<<3 | 3, 1, 2, 11<<3 | 4})
	f.Add([]byte{10<<3 | 2, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		counted := countInside(m, b, 1<<30)
		message, err := expr.Decode(m, b)
		if err != nil {
			return
		}
		// What is merged or replaced counts each time it stands there, so the count
		// may be higher, but nothing is missed.
		if made := countMessages(message); counted < made {
			t.Errorf("counted %d messages, the decoder made %d", counted, made)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	registry := policytest.Load(b, policytest.RulesProto)
	set, _ := rulesSet(b, registry, "Put")
	message := wire(b, registry.Services()[0].Methods().ByName("Put").Input(), `{"name": "abc", "slug": "a-b", "author": "x"}`)
	r := policytest.Request("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if err := set.Message(context.Background(), r, message); err != nil {
			b.Fatal(err)
		}
	}
}
