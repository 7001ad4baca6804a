package policytest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// RulesProto has rules of every kind that protovalidate knows.
const RulesProto = `
edition = "2023";
package rules.v1;
option features.field_presence = IMPLICIT;
import "buf/validate/validate.proto";
import "transom/v1/annotations.proto";

extend buf.validate.StringRules {
  bool slug = 80048952 [(buf.validate.predefined).cel = {
    id: "string.slug" message: "must be a slug" expression: "!rule || this.matches('^[a-z-]+$')"
  }];
}

message Book {
  option (buf.validate.message).cel = {
    id: "book.pages" message: "first must not be after last" expression: "this.first <= this.last"
  };
  string name = 1 [(buf.validate.field).string.min_len = 3];
  string slug = 2 [(buf.validate.field).string.(rules.v1.slug) = true];
  int32 first = 3;
  int32 last = 4;
  string secret = 5 [
    (transom.v1.field).sensitive = true,
    (buf.validate.field).cel = { id: "secret.long" expression: "size(this) < 5 ? '' : 'the secret ' + this + ' is long'" }
  ];
  repeated int32 marks = 6 [(buf.validate.field).repeated.items.int32.gt = 0];
  map<string, Book> related = 7;
  oneof by { option (buf.validate.oneof).required = true; string author = 8; string editor = 9; }
  repeated Plain plain = 10;
  map<string, int32> tokens = 11 [(transom.v1.field).sensitive = true, (buf.validate.field).map.values.int32.gt = 0];
}
message Plain { string name = 1; Plain plain = 2; repeated Plain more = 3; }
message Loop { Loop next = 1; Deep deep = 2; }
message Deep { map<string, Book> books = 1; }

service Rules {
  rpc Put(Book) returns (Plain);
  rpc Upload(stream Book) returns (Plain);
  rpc Free(Plain) returns (Book);
  rpc Nested(Loop) returns (Plain);
}
`

// Load compiles one file as a folder of a user would be.
func Load(t testing.TB, source string) *schema.Registry {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.proto"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	registry, problems := schema.Directory(dir).Load(context.Background())
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return registry
}

// SchemaExtensions makes Extensions of a registry, as the gateway does.
type SchemaExtensions struct{ *schema.Registry }

// FindExtensionByName implements policy.Extensions.
func (r SchemaExtensions) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	x, err := r.Registry.FindExtensionByName(name)
	if err != nil {
		return nil, err
	}
	return x.TypeDescriptor(), nil
}

// FindExtensionByNumber implements policy.Extensions.
func (r SchemaExtensions) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	x, err := r.Registry.FindExtensionByNumber(message, field)
	if err != nil {
		return nil, err
	}
	return x.TypeDescriptor(), nil
}
