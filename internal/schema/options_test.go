package schema

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func service(t testing.TB, registry *Registry, name protoreflect.FullName) protoreflect.ServiceDescriptor {
	t.Helper()
	d, err := registry.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor)
}

func TestOptions(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	books := service(t, registry, "bookstore.v1.BookstoreService")
	get, ping := books.Methods().ByName("GetBook"), books.Methods().ByName("Ping")
	t.Run("Semantics 46: options come in their generated types", func(t *testing.T) {
		if got := HTTPRule(get); got.GetGet() != "/v1/{name=shelves/*/books/*}" || len(got.GetAdditionalBindings()) != 1 {
			t.Errorf("rule %v", got)
		}
		if got := MethodPolicy(get).GetRetry().GetMaxAttempts(); got != 3 {
			t.Errorf("max_attempts %d", got)
		}
		if got := ServicePolicy(books).GetTimeout().GetSeconds(); got != 3 {
			t.Errorf("timeout %d", got)
		}
		name := get.Input().Fields().ByName("name")
		if !FieldOptions(name).GetSensitive() {
			t.Error("name is not sensitive")
		}
		if rules, ok := Option(name, validate.E_Field).(*validate.FieldRules); !ok || rules.GetString().GetMinLen() != 1 {
			t.Errorf("rules %v", rules)
		}
	})
	t.Run("what is not set is nil", func(t *testing.T) {
		if HTTPRule(ping) != nil || MethodPolicy(ping) != nil || FieldOptions(get.Output().Fields().ByName("name")) != nil {
			t.Error("an option out of nothing")
		}
		if Option(books, transomv1.E_Method) != nil {
			t.Error("an option of methods at a service")
		}
	})
	t.Run("options of the user's own remain", func(t *testing.T) {
		mark, err := registry.FindExtensionByName("bookstore.v1.shelf_mark")
		if err != nil {
			t.Fatal(err)
		}
		book, err := registry.FindMessageByName("bookstore.v1.Book")
		if err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(book.Descriptor().Options())
		if err != nil {
			t.Fatal(err)
		}
		options := new(descriptorpb.MessageOptions)
		types := new(protoregistry.Types)
		if err := types.RegisterExtension(mark); err != nil {
			t.Fatal(err)
		}
		if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(wire, options); err != nil {
			t.Fatal(err)
		}
		if got := options.ProtoReflect().Get(mark.TypeDescriptor()).String(); got != "Q 175" {
			t.Errorf("shelf_mark %q", got)
		}
	})
}

// TestForeignOptions reads the rule of a method whose options come in every form
// there is.
func TestForeignOptions(t *testing.T) {
	rule := &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/a"}}
	typed := new(descriptorpb.MethodOptions)
	proto.SetExtension(typed, annotations.E_Http, rule)
	wire, err := proto.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	read := func(into proto.Message, resolver interface {
		protoregistry.ExtensionTypeResolver
		FindMessageByName(protoreflect.FullName) (protoreflect.MessageType, error)
		FindMessageByURL(string) (protoreflect.MessageType, error)
	}) proto.Message {
		if err := (proto.UnmarshalOptions{Resolver: resolver}).Unmarshal(wire, into); err != nil {
			t.Fatal(err)
		}
		return into
	}
	own := loadGood(t, "testdata/good")
	dynamicOptions := dynamicpb.NewMessage((*descriptorpb.MethodOptions)(nil).ProtoReflect().Descriptor())
	forms := map[string]proto.Message{
		"generated":                  typed,
		"unknown bytes":              read(new(descriptorpb.MethodOptions), new(protoregistry.Types)),
		"a dynamic extension":        read(new(descriptorpb.MethodOptions), dynamicpb.NewTypes(own.Files())),
		"a wholly dynamic message":   read(dynamicOptions, dynamicpb.NewTypes(own.Files())),
		"dynamic with unknown bytes": read(dynamicpb.NewMessage(dynamicOptions.Descriptor()), new(protoregistry.Types)),
	}
	method := service(t, own, "bookstore.v1.BookstoreService").Methods().ByName("Ping")
	for name, options := range forms {
		t.Run("Semantics 46: "+name, func(t *testing.T) {
			if got := HTTPRule(withOptions{method, options}); !proto.Equal(got, rule) {
				t.Errorf("rule %v, want %v", got, rule)
			}
		})
	}
}

// withOptions is a method with other options.
type withOptions struct {
	protoreflect.MethodDescriptor
	options proto.Message
}

func (m withOptions) Options() protoreflect.ProtoMessage { return m.options }

// TestForeignNumber has a set where somebody's own option uses the number that
// the binary knows for another.
func TestForeignNumber(t *testing.T) {
	folder := write(t, map[string]string{"a.proto": `
		syntax = "proto3";
		package a;
		import "google/protobuf/descriptor.proto";
		extend google.protobuf.MethodOptions { string operation = 1143; string mark = 73610; }
		message A {}
		service S {
			rpc Get(A) returns (A) {
				option (operation) = "\001 no operation";
				option (mark) = "no policy";
			}
		}`})
	method := loadGood(t, folder).Services()[0].Methods().Get(0)
	if policy := MethodPolicy(method); policy != nil {
		t.Errorf("policy %v", policy)
	}
	if text := fmt.Sprint(protodesc.ToMethodDescriptorProto(method)); !strings.Contains(text, "no operation") {
		t.Errorf("the option is lost: %s", text)
	}
}

func TestPosition(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	name := filepath.Join("testdata", "good", "bookstore", "v1", "bookstore.proto")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	books := service(t, registry, "bookstore.v1.BookstoreService")
	get, remove := books.Methods().ByName("GetBook"), books.Methods().ByName("DeleteBook")
	tests := map[string]struct {
		d      protoreflect.Descriptor
		option []int32
		want   string // the text at the position
	}{
		"service":               {books, nil, "service BookstoreService"},
		"service option":        {books, []int32{PolicyOption}, "(transom.v1.service) = {"},
		"inside the option":     {books, []int32{PolicyOption, 9}, "seconds: 3 }"},
		"method":                {get, nil, "rpc GetBook"},
		"rule":                  {get, []int32{HTTPOption}, "(google.api.http) = {\n      get"},
		"get":                   {get, []int32{HTTPOption, 2}, "get: \"/v1/{name=shelves"},
		"additional binding":    {get, []int32{HTTPOption, 11, 0}, "additional_bindings {"},
		"not there":             {get, []int32{HTTPOption, 7}, "(google.api.http) = {\n      get"},
		"rule by field":         {remove, []int32{HTTPOption}, "option (google.api.http).delete"},
		"policy that is not":    {remove, []int32{PolicyOption}, "rpc DeleteBook"},
		"field":                 {get.Input().Fields().ByName("name"), nil, "string name = 1"},
		"field option":          {get.Input().Fields().ByName("name"), []int32{PolicyOption}, "(transom.v1.field)"},
		"message":               {get.Input(), nil, "message GetBookRequest"},
		"method without option": {books.Methods().ByName("Ping"), []int32{HTTPOption}, "rpc Ping"},
	}
	for title, test := range tests {
		t.Run("Semantics 9: "+title, func(t *testing.T) {
			file, line, column := registry.Position(test.d, test.option...)
			if file != name {
				t.Errorf("file %q, want %q", file, name)
			}
			if got := from(string(text), line, column); !strings.HasPrefix(got, test.want) {
				t.Errorf("%d:%d is at %.40q, want %q", line, column, got, test.want)
			}
		})
	}
	t.Run("a nested declaration of another file", func(t *testing.T) {
		d, err := registry.FindDescriptorByName("bookstore.v1.Book.Edition.KIND_PAPER")
		if err != nil {
			t.Fatal(err)
		}
		file, line, column := registry.Position(d)
		if file != filepath.Join("testdata", "good", "bookstore", "v1", "book.proto") || line != 28 || column != 7 {
			t.Errorf("%s:%d:%d", file, line, column)
		}
	})
	t.Run("a built-in message has none", func(t *testing.T) {
		d, err := registry.FindDescriptorByName("google.rpc.Status")
		if err != nil {
			t.Fatal(err)
		}
		if _, line, column := registry.Position(d); line != 0 || column != 0 {
			t.Errorf("%d:%d", line, column)
		}
	})
}

// from is the text from a line and column on.
func from(text string, line, column int) string {
	for ; line > 1; line-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	if column < 1 || column > len(text) {
		return ""
	}
	return text[column-1:]
}
