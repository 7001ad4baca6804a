package mirror

import (
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

const redactProto = `
syntax = "proto2";
package redact.v1;
import "google/protobuf/any.proto";
import "transom/v1/annotations.proto";
message Book {
  optional string name = 1;
  optional string secret = 2 [(transom.v1.field).sensitive = true];
  optional Book next = 3;
  repeated Book more = 4;
  map<string, Book> by_name = 5;
  map<string, string> tokens = 6 [(transom.v1.field).sensitive = true];
  optional google.protobuf.Any any = 7;
  repeated group Page = 8 { optional int32 number = 1; optional string note = 2 [(transom.v1.field).sensitive = true]; }
  optional Book hidden = 9 [(transom.v1.field).sensitive = true];
  repeated int32 marks = 10 [packed = true];
}
service Books { rpc Put(Book) returns (Book); }
`

func bookOf(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	d, err := policytest.Load(t, redactProto).Files().FindDescriptorByName("redact.v1.Book")
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MessageDescriptor) //nolint:forcetypeassert // it is one
}

// TestRedact: Traffic 208: a redacted copy has no field that is marked sensitive, wherever it
// stands, nor what nobody can look into; all else stays.
func TestRedact(t *testing.T) {
	book := bookOf(t)
	r := newRedactor(book)
	for _, test := range []struct{ message, want string }{
		{`{}`, `{}`},
		{`{"name":"a","secret":"s","marks":[1,2,3]}`, `{"name":"a","marks":[1,2,3]}`},
		{`{"next":{"secret":"s","next":{"name":"b","secret":"s"}}}`, `{"next":{"next":{"name":"b"}}}`},
		{`{"more":[{"secret":"s"},{"name":"c","hidden":{"name":"d"}}]}`, `{"more":[{},{"name":"c"}]}`},
		{`{"byName":{"k":{"name":"e","secret":"s"}},"tokens":{"a":"s"}}`, `{"byName":{"k":{"name":"e"}}}`},
		{`{"page":[{"number":1,"note":"s"},{"number":2}]}`, `{"page":[{"number":1},{"number":2}]}`},
		{`{"hidden":{"name":"s"}}`, `{}`},
	} {
		t.Run(test.message, func(t *testing.T) {
			message, want := dynamicpb.NewMessage(book), dynamicpb.NewMessage(book)
			if err := protojson.Unmarshal([]byte(test.message), message); err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal([]byte(test.want), want); err != nil {
				t.Fatal(err)
			}
			wire, err := proto.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			wire = protowire.AppendString(protowire.AppendTag(wire, 1000, protowire.BytesType), "s") // unknown
			kept, err := r.Append(nil, wire)
			got := dynamicpb.NewMessage(book)
			if e := proto.Unmarshal(kept, got); err != nil || e != nil || !proto.Equal(got, want) || len(got.GetUnknown()) > 0 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	secret := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "s")
	hidden := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), secret)
	if kept, err := r.Append(nil, hidden); err != nil || len(kept) != 2 {
		t.Errorf("an Any with a value is %x, %v", kept, err)
	}
	deep := []byte{}
	for range projection.MaxDepth + 1 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), deep)
	}
	if _, err := r.Append(nil, deep); err == nil {
		t.Error("a message without end is copied")
	}
	if _, err := r.Append(nil, deep[3:]); err != nil {
		t.Error("a message that nests as deep as may be is not copied")
	}
	if _, err := r.Append(nil, []byte{0x0a, 5, 'a'}); err == nil {
		t.Error("what is no message is copied")
	}
}

// TestRedactRequest: Traffic 208: a redacted copy of a plain HTTP request has no credentials,
// whatever they are spelled like.
func TestRedactRequest(t *testing.T) {
	c := &httpbackend.Copy{Target: "/a?access_token=s&b=1&%61ccess_token=s&TOKEN&c=%zz&%zz=1&d", Header: http.Header{
		"Authorization": {"s"}, "Cookie": {"s"}, "X_Api_Key": {"s"}, "Grpc-Metadata-Authorization": {"s"}, "Referer": {"s"},
		"Accept": {"a"}, "Authorization-Of": {"b"}, "X-Transom-Principal": {"c"},
	}}
	redactRequest(c)
	if c.Target != "/a?b=1&c=%zz&d" || len(c.Header) != 3 {
		t.Errorf("%s %v", c.Target, c.Header)
	}
	for _, target := range []string{"/a?access_token=s", "/a?token=1;token=2"} {
		c := &httpbackend.Copy{Target: target}
		if redactRequest(c); c.Target != "/a" {
			t.Errorf("%s is %s", target, c.Target)
		}
	}
}

// FuzzRedact holds that what is left of a message is one, if the message is, with all that is
// not sensitive.
func FuzzRedact(f *testing.F) {
	book := bookOf(f)
	for _, text := range []string{`{"name":"a","secret":"s","marks":[1,2,3]}`, `{"more":[{"secret":"s"}],"page":[{"number":1,"note":"s"}],"byName":{"k":{"secret":"s"}}}`} {
		message := dynamicpb.NewMessage(book)
		if err := protojson.Unmarshal([]byte(text), message); err != nil {
			f.Fatal(err)
		}
		wire, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	r := newRedactor(book)
	f.Fuzz(func(t *testing.T, wire []byte) {
		kept, err := r.Append(nil, wire)
		message, got := dynamicpb.NewMessage(book), dynamicpb.NewMessage(book)
		if proto.Unmarshal(wire, message) != nil || err != nil {
			return
		}
		if err := proto.Unmarshal(kept, got); err != nil {
			t.Fatalf("%x has left %x: %v", wire, kept, err)
		}
		clearSensitive(message)
		if !proto.Equal(got, message) {
			t.Fatalf("%x has left\n%v, want\n%v", wire, got, message)
		}
	})
}

// clearSensitive is what a redactor does, by reflection.
func clearSensitive(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case schema.FieldOptions(f).GetSensitive(), f.ContainingMessage().FullName() == "google.protobuf.Any" && f.Number() == 2:
			m.Clear(f)
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				clearSensitive(v.Message())
				return true
			})
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				clearSensitive(v.List().Get(i).Message())
			}
		default:
			clearSensitive(v.Message())
		}
		return true
	})
}
