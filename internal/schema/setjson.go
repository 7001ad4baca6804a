package schema

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// parseJSONSet reads a set in the JSON form, as `buf build -o image.json` writes
// it. Options of the user's own stand there by name: they are looked up in the
// set itself, which is read a first time for it.
func parseJSONSet(data []byte) (parsedSet, error) {
	files, err := unmarshalJSONSet(data, protoregistry.GlobalTypes)
	if err != nil {
		return parsedSet{}, err
	}
	own, _ := link(linkInput{display: func(path string) string { return path }, files: files.GetFile()})
	files, err = unmarshalJSONSet(data, optionTypes{own})
	if err != nil {
		return parsedSet{}, err
	}
	imports := jsonImports(data)
	collected := newSetCollector()
	for _, file := range files.GetFile() {
		plainFile, err := withKnownTypes(file)
		if err != nil {
			collected.bad(file.GetName(), "is malformed: "+plain(err))
			continue
		}
		collected.add(plainFile, imports[file.GetName()])
	}
	return collected.set, nil
}

func unmarshalJSONSet(data []byte, types interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}) (*descriptorpb.FileDescriptorSet, error) {
	set := new(descriptorpb.FileDescriptorSet)
	err := protojson.UnmarshalOptions{
		AllowPartial:   true,
		DiscardUnknown: true, // what buf adds to an image
		Resolver:       types,
		RecursionLimit: maxNesting,
	}.Unmarshal(data, set)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", errNoSet, plain(err))
	}
	if len(set.GetFile()) > maxFiles {
		return nil, fmt.Errorf("holds more than %d files", maxFiles)
	}
	return set, nil
}

// withKnownTypes turns the options of other types than the binary's back into
// bytes.
func withKnownTypes(file *descriptorpb.FileDescriptorProto) (*descriptorpb.FileDescriptorProto, error) {
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(file)
	if err != nil {
		return nil, err
	}
	read := new(descriptorpb.FileDescriptorProto)
	return read, unmarshalKnown(wire, read)
}

// jsonImports are the files that a buf image marks as imports.
func jsonImports(data []byte) map[string]bool {
	var image struct {
		File []struct {
			Name         string `json:"name"`
			BufExtension struct {
				IsImport bool `json:"isImport"`
			} `json:"bufExtension"`
		} `json:"file"`
	}
	imports := make(map[string]bool)
	if json.Unmarshal(data, &image) != nil {
		return imports // what protojson reads and this does not has no such marks
	}
	for _, file := range image.File {
		imports[file.Name] = file.BufExtension.IsImport
	}
	return imports
}

// optionTypes finds the options that the binary knows in their types, then those
// that a set declares.
type optionTypes struct{ own *Registry }

// FindMessageByName implements [protoregistry.MessageTypeResolver].
func (t optionTypes) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return t.own.FindMessageByName(name)
}

// FindMessageByURL implements [protoregistry.MessageTypeResolver].
func (t optionTypes) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.own.FindMessageByURL(url)
}

// FindExtensionByName implements [protoregistry.ExtensionTypeResolver].
func (t optionTypes) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if found, err := protoregistry.GlobalTypes.FindExtensionByName(name); err == nil {
		return found, nil
	}
	return t.own.FindExtensionByName(name)
}

// FindExtensionByNumber implements [protoregistry.ExtensionTypeResolver].
func (t optionTypes) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if found, err := protoregistry.GlobalTypes.FindExtensionByNumber(message, number); err == nil {
		return found, nil
	}
	return t.own.FindExtensionByNumber(message, number)
}
