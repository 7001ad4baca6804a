package policytest

import (
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// authSchema is a service with a login of its own. Its file has the path of
// one that is linked into the binary, on purpose.
var authSchema = sync.OnceValue(func() protoreflect.FileDescriptor {
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(authSchemaText), file); err != nil {
		panic(err)
	}
	f, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return f
})

const authSchemaText = `
name: "transom/v1/policy.proto" package: "shop.v1" syntax: "proto3"
dependency: "google/protobuf/timestamp.proto"
dependency: "google/protobuf/wrappers.proto"
message_type { name: "Order"
  field { name: "owner" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "amount" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "tags" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "at" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "note" number: 5 type: TYPE_MESSAGE type_name: ".google.protobuf.StringValue" label: LABEL_OPTIONAL }
  field { name: "parent" number: 6 type: TYPE_MESSAGE type_name: ".shop.v1.Order" label: LABEL_OPTIONAL }
  field { name: "level" number: 7 type: TYPE_ENUM type_name: ".shop.v1.Level" label: LABEL_OPTIONAL }
}
enum_type { name: "Level" value { name: "NONE" number: 0 } value { name: "READER" number: 1 } value { name: "ADMIN" number: 2 } }
message_type { name: "LoginReply"
  field { name: "user" number: 1 type: TYPE_MESSAGE type_name: ".shop.v1.User" label: LABEL_OPTIONAL }
  field { name: "token" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "count" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "blob" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "users" number: 5 type: TYPE_MESSAGE type_name: ".shop.v1.User" label: LABEL_REPEATED }
}
message_type { name: "User"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "number" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "roles" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "level" number: 4 type: TYPE_ENUM type_name: ".shop.v1.Level" label: LABEL_OPTIONAL }
  field { name: "email" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "session" number: 6 type: TYPE_MESSAGE type_name: ".shop.v1.LoginReply" label: LABEL_OPTIONAL }
  field { name: "score" number: 7 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
}
service { name: "Shop"
  method { name: "Login" input_type: ".shop.v1.Order" output_type: ".shop.v1.LoginReply" }
  method { name: "Buy" input_type: ".shop.v1.Order" output_type: ".shop.v1.Order" }
  method { name: "Watch" input_type: ".shop.v1.Order" output_type: ".shop.v1.Order" client_streaming: true server_streaming: true }
}`

// ShopMethod is a method of the schema.
func ShopMethod(name protoreflect.Name) protoreflect.MethodDescriptor {
	return authSchema().Services().ByName("Shop").Methods().ByName(name)
}

// WireOf writes a message of the schema, in text form, to wire format.
func WireOf(t testing.TB, name protoreflect.Name, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(authSchema().Messages().ByName(name))
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// MessageOf reads a message of the schema.
func MessageOf(t testing.TB, name protoreflect.Name, data []byte) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(authSchema().Messages().ByName(name))
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// NotWire is no message of any type.
var NotWire = protowire.AppendTag(nil, 1, protowire.BytesType)

// ShopTarget is a method of the schema with a policy.
func ShopTarget(method protoreflect.Name, p *transomv1.Policy) policy.Target {
	return policy.Target{Method: ShopMethod(method), RPC: "shop.v1.Shop/" + string(method),
		Layers: []policy.Layer{{Policy: p, Where: "shop.proto:3:7", Exact: true}}}
}
