package conformance

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// message is one of the runner's messages, by the names of its fields. Its
// generated types are internal to its module.
type message struct{ *dynamicpb.Message }

// orders knows the messages of connectrpc.conformance.v1.
type orders struct{ files []protoreflect.FileDescriptor }

// loadOrders compiles the messages in the folder that $CONFORMANCE_PROTOS names.
func loadOrders() (*orders, error) {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(
		&protocompile.SourceResolver{ImportPaths: []string{os.Getenv(envProtos)}})}
	const folder = "connectrpc/conformance/v1/"
	compiled, err := compiler.Compile(context.Background(), folder+"server_compat.proto", folder+"client_compat.proto")
	if err != nil {
		return nil, fmt.Errorf("compiling the runner's messages: %w", err)
	}
	o := &orders{}
	for _, file := range compiled {
		o.files = append(o.files, file)
	}
	return o, nil
}

// new makes a message of a name without its package.
func (o *orders) new(name protoreflect.Name) message {
	for _, file := range o.files {
		if d := file.Messages().ByName(name); d != nil {
			return message{dynamicpb.NewMessage(d)}
		}
	}
	panic("the runner knows no message " + name)
}

func (m message) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	d := m.Descriptor().Fields().ByName(name)
	if d == nil {
		panic("no field " + name)
	}
	return d
}

func (m message) get(name protoreflect.Name) protoreflect.Value { return m.Get(m.field(name)) }

func (m message) set(name protoreflect.Name, v any) { m.Set(m.field(name), protoreflect.ValueOf(v)) }

// choose sets an enum by the name of its value.
func (m message) choose(name, value protoreflect.Name) {
	m.Set(m.field(name), protoreflect.ValueOfEnum(m.field(name).Enum().Values().ByName(value).Number()))
}

// key returns the fields certificate and key of a message TLSCreds.
func (m message) key(name protoreflect.Name) (certificate, key []byte) {
	creds, ok := m.get(name).Message().Interface().(*dynamicpb.Message)
	if !ok {
		return nil, nil
	}
	return message{creds}.get("cert").Bytes(), message{creds}.get("key").Bytes()
}

// read reads a message behind its length. io.EOF is the end of them.
func (m message) read(r io.Reader) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("within a message: %w", err)
	}
	return proto.Unmarshal(b, m)
}

// write writes a message behind its length.
func (m message) write(w io.Writer) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) //nolint:gosec // our own messages are short
	return err
}
