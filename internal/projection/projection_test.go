package projection

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

const bookProto = `
syntax = "proto3";
package projection.v1;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "transom/v1/annotations.proto";
message Book {
  string name = 1;
  string secret = 2 [(transom.v1.field).sensitive = true];
  bytes key = 3 [debug_redact = true];
  int64 pages = 4;
  Book next = 5;
  repeated Book more = 6;
  map<string, Book> by_name = 7;
  map<string, string> tokens = 8 [(transom.v1.field).sensitive = true];
  google.protobuf.Any any = 9;
  repeated int32 marks = 10;
  repeated string passwords = 11 [(transom.v1.field).sensitive = true];
  Book hidden = 12 [(transom.v1.field).sensitive = true];
  google.protobuf.Timestamp at = 13;
  google.protobuf.Struct extra = 14;
  google.protobuf.StringValue note = 15;
  oneof by { string author = 16; Book editor = 17; }
  optional bool read = 18;
  Kind kind = 19;
  map<int32, double> prices = 20;
  double score = 21;
  repeated google.protobuf.Any all = 22;
}
enum Kind { NONE = 0; NOVEL = 1; }
service Books { rpc Put(Book) returns (Book); }
`

func load(t testing.TB) (*schema.Registry, protoreflect.MessageDescriptor) {
	t.Helper()
	registry := policytest.Load(t, bookProto)
	d, err := registry.Files().FindDescriptorByName("projection.v1.Book")
	if err != nil {
		t.Fatal(err)
	}
	return registry, d.(protoreflect.MessageDescriptor) //nolint:forcetypeassert // it is one
}

func find(book protoreflect.MessageDescriptor) func(protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	return func(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
		if name == book.FullName() {
			return book, nil
		}
		return nil, protoregistry.NotFound
	}
}

func mustNew(t testing.TB, m protoreflect.MessageDescriptor, o Options) *Projection {
	t.Helper()
	p, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// jsonOf is what the projection of a message is as JSON.
func jsonOf(t testing.TB, p *Projection, wire []byte, o jsonwire.Output) (string, error) {
	t.Helper()
	less, err := p.Append(nil, wire)
	if err != nil {
		return "", err
	}
	o.NamedAny = true
	text, err := jsonwire.NewPlans(p).Message(p.Descriptor()).AppendJSON(nil, less, o)
	return string(text), err
}

func wireOf(t testing.TB, m protoreflect.MessageDescriptor, text string) []byte {
	t.Helper()
	message := dynamicpb.NewMessage(m)
	types := dynamicpb.NewTypes(new(protoregistry.Files))
	if err := (protojson.UnmarshalOptions{Resolver: types}).Unmarshal([]byte(text), message); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func hashOf(text string) string {
	h := hmac.New(sha256.New, []byte("key"))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func TestJSON(t *testing.T) {
	_, book := load(t)
	const whole = `{"name":"a","secret":"s","key":"cw==","pages":"3","next":{"name":"b","secret":"s"},"more":[{"name":"c","pages":"1"},{"secret":"s"}],
		"byName":{"k":{"name":"d","tokens":{"a":"s"}}},"tokens":{"a":"s"},"marks":[1,2],"passwords":["s","t"],"hidden":{"name":"s"},
		"at":"2026-01-02T03:04:05Z","extra":{"x":[1,{}]},"note":"n","author":"ada","kind":"NOVEL"}`
	for _, test := range []struct {
		paths, message, want string
		hash, defaults       bool
	}{
		{paths: "", message: whole, want: `{}`},
		{paths: "name", message: whole, want: `{"name":"a"}`},
		{paths: "name,pages", message: `{}`, want: `{}`},
		{paths: "name,pages,more,next", message: `{}`, want: `{"name":"","pages":"0","more":[]}`, defaults: true},
		{paths: "next.name", message: whole, want: `{"next":{"name":"b"}}`},
		{paths: "next.pages", message: whole, want: `{"next":{"pages":"0"}}`, defaults: true},
		{paths: "more.name", message: whole, want: `{"more":[{"name":"c"},{}]}`},
		{paths: "by_name.name", message: whole, want: `{"byName":{"k":{"name":"d"}}}`},
		{paths: "by_name.*", message: whole, want: `{"byName":{"k":{"name":"d"}}}`},
		{paths: "at,extra,note,kind,marks", message: whole, want: `{"at":"2026-01-02T03:04:05Z","extra":{"x":[1,{}]},"note":"n","kind":"NOVEL","marks":[1,2]}`},
		{paths: "author", message: `{"editor":{"name":"e"}}`, want: `{}`},
		{paths: "author,editor.name", message: `{"editor":{"name":"e","secret":"s"}}`, want: `{"editor":{"name":"e"}}`},
		{paths: "next,next.name", message: `{"next":{"name":"b","pages":"2"}}`, want: `{"next":{"name":"b","pages":"2"}}`},
		{paths: "*", message: whole, want: `{"name":"a","pages":"3","next":{"name":"b"},"more":[{"name":"c","pages":"1"},{}],"byName":{"k":{"name":"d"}},"marks":[1,2],
			"at":"2026-01-02T03:04:05Z","extra":{"x":[1,{}]},"note":"n","author":"ada","kind":"NOVEL"}`},
		{paths: "secret,key,passwords,next.*", message: whole, hash: true,
			want: fmt.Sprintf(`{"secret":%q,"key":%[1]q,"passwords":[%[1]q,%q],"next":{"name":"b","secret":%[1]q}}`, hashOf("s"), hashOf("t"))},
	} {
		t.Run(test.paths+" "+fmt.Sprint(test.hash, test.defaults), func(t *testing.T) {
			o := Options{Paths: strings.FieldsFunc(test.paths, func(r rune) bool { return r == ',' })}
			if test.hash {
				o.HashKey = []byte("key")
			}
			got, err := jsonOf(t, mustNew(t, book, o), wireOf(t, book, test.message), jsonwire.Output{OmitDefaults: !test.defaults})
			if err != nil || !sameJSON(t, got, test.want) {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

// TestAny: what an Any holds is cut as all else, if somebody knows it, and else only its URL stays.
func TestAny(t *testing.T) {
	_, book := load(t)
	inner := wireOf(t, book, `{"name":"a","secret":"s","next":{"secret":"s"}}`)
	anyOf := func(url string, value []byte) []byte {
		a := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), url)
		a = protowire.AppendBytes(protowire.AppendTag(a, 2, protowire.BytesType), value)
		return protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), a)
	}
	for _, test := range []struct {
		name, want string
		wire       []byte
	}{
		{"known", `{"any":{"@type":"x/projection.v1.Book","name":"a","next":{}}}`, anyOf("x/projection.v1.Book", inner)},
		{"unknown", `{"any":{"@type":"x/projection.v1.Page"}}`, anyOf("x/projection.v1.Page", inner)},
		{"no name", `{"any":{"@type":"x/%%"}}`, anyOf("x/%%", inner)},
		{"broken", `{"any":{"@type":"x/projection.v1.Book"}}`, anyOf("x/projection.v1.Book", []byte{0x0a, 9})},
		{"no URL", `{"any":{}}`, anyOf("", inner)},
		{"in itself", `{"any":{"@type":"x/projection.v1.Book","any":{"@type":"x/projection.v1.Book","name":"a","next":{}}}}`,
			anyOf("x/projection.v1.Book", anyOf("x/projection.v1.Book", inner))},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := mustNew(t, book, Options{Paths: []string{"*"}, Find: find(book)})
			got, err := jsonOf(t, p, test.wire, jsonwire.Output{OmitDefaults: true})
			if err != nil || !sameJSON(t, got, test.want) {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
			if less, _ := p.Append(nil, test.wire); bytes.Contains(less, []byte("s\x22\x00")) || !p.Rewrites() {
				t.Errorf("%q", less)
			}
		})
	}
}

// TestRefused holds what people are told of paths that lead nowhere.
func TestRefused(t *testing.T) {
	_, book := load(t)
	for _, test := range []struct {
		path, want string
		hash       bool
	}{
		{path: "nam", want: "projection.v1.Book has no field \"nam\"; expected one of all, any, at, author"},
		{path: "nam", want: "did you mean name?"},
		{path: "byName", want: `has no field "byName"; did you mean by_name?`},
		{path: "name.x", want: `the field "projection.v1.Book.name" has no fields: nothing may follow it`},
		{path: "at.seconds", want: `the field "projection.v1.Book.at" is a google.protobuf.Timestamp, of which no part can stand alone`},
		{path: "secret", want: `the field "projection.v1.Book.secret" is marked sensitive, so that it never leaves`},
		{path: "key", want: `the field "projection.v1.Book.key" is marked sensitive, so that it never leaves`},
		{path: "hidden.name", want: `the field "projection.v1.Book.hidden" is marked sensitive, so that it never leaves`},
		{path: "tokens", hash: true, want: `hashes are for text and bytes`},
		{path: "hidden.name", hash: true, want: `hashes are for text and bytes`},
		{path: "more.*.name", want: `has no field "*"`},
		{path: "", want: `has no field ""`},
	} {
		o := Options{Paths: []string{test.path}}
		if test.hash {
			o.HashKey = []byte("key")
		}
		if _, err := New(book, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
}

func TestBadMessages(t *testing.T) {
	_, book := load(t)
	p := mustNew(t, book, Options{Paths: []string{"*"}})
	deep := []byte{}
	for range MaxDepth + 1 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), deep)
	}
	if _, err := p.Append(nil, deep); err != ErrDepth {
		t.Error(err)
	}
	if _, err := p.Append(nil, deep[3:]); err != nil {
		t.Error(err)
	}
	if _, err := p.Append(nil, []byte{0x0a, 5, 'a'}); err != ErrSyntax {
		t.Error(err)
	}
}

// sets are paths that random messages are cut to.
var sets = []string{"*", "name", "next.more.name,marks", "by_name.next.*,pages", "any,all", "editor.marks,author", "extra,at,note,read,kind,prices,score", "more.by_name.any,next.next.next.name"}

// TestAgainstProtojson compares with protobuf-go on random messages: masked dynamic messages,
// written by protojson.
func TestAgainstProtojson(t *testing.T) {
	registry, book := load(t)
	types := dynamicpb.NewTypes(registry.Files())
	for _, set := range sets {
		paths := strings.Split(set, ",")
		p := mustNew(t, book, Options{Paths: paths, Find: find(book)})
		random := rand.New(rand.NewPCG(1, uint64(len(set)))) //nolint:gosec // the same each time
		for range 200 {
			message := dynamicpb.NewMessage(book)
			fill(random, message, 3)
			wire, err := proto.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			masked := dynamicpb.NewMessage(book)
			copyMasked(masked, message, paths)
			want, err := protojson.MarshalOptions{Resolver: types}.Marshal(masked)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jsonOf(t, p, wire, jsonwire.Output{OmitDefaults: true})
			if err != nil || !sameJSON(t, got, string(want)) {
				t.Fatalf("JSON: %s of %v:\ngot  %s, %v\nwant %s", set, message, got, err, want)
			}
			less, err := p.Append(nil, wire)
			back := dynamicpb.NewMessage(book)
			if err != nil || proto.Unmarshal(less, back) != nil || !proto.Equal(back, masked) {
				t.Fatalf("%s of %v:\ngot  %v, %v\nwant %v", set, message, back, err, masked)
			}
		}
	}
}

// FuzzProjection holds that what stays of a message is what stays of the message that others read
// in its bytes.
func FuzzProjection(f *testing.F) {
	_, book := load(f)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for range 8 {
		message := dynamicpb.NewMessage(book)
		fill(random, message, 3)
		wire, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint8(0))
	}
	var all []*Projection
	for _, set := range sets {
		all = append(all, mustNew(f, book, Options{Paths: strings.Split(set, ","), Find: find(book)}))
	}
	f.Fuzz(func(t *testing.T, wire []byte, n uint8) {
		i := int(n) % len(sets)
		less, err := all[i].Append(nil, wire)
		message, back := dynamicpb.NewMessage(book), dynamicpb.NewMessage(book)
		if err != nil || unmarshal(wire, message) != nil {
			return
		}
		if err := unmarshal(less, back); err != nil {
			t.Fatalf("%x is no message: %v", less, err)
		}
		if bytes.Contains(less, []byte("projection.v1.Book")) {
			return // an Any in pieces is merged there
		}
		masked := dynamicpb.NewMessage(book)
		copyMasked(masked, message, strings.Split(sets[i], ","))
		if !proto.Equal(masked, back) && len(back.GetUnknown()) == 0 && masked.String() != back.String() { // NaN
			t.Errorf("got %v, want %v", back, masked)
		}
	})
}

func unmarshal(wire []byte, m *dynamicpb.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return proto.Unmarshal(wire, m)
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
