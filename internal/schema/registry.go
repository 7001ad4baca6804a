package schema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Registry is the linked schema of one source. It is immutable and safe for
// concurrent use.
//
// It finds what the source holds, and behind it the built-in files, whether the
// source imports them or not: a google.rpc.ErrorInfo in an error resolves
// although no proto of the user names it. It can stand wherever protobuf-go
// wants to resolve files, messages or extensions.
type Registry struct {
	source   string
	display  func(path string) string
	digest   [32]byte
	folders  map[string]string
	files    *protoregistry.Files
	types    *dynamicpb.Types
	services []protoreflect.ServiceDescriptor
}

var (
	_ protodesc.Resolver                  = (*Registry)(nil)
	_ protoregistry.MessageTypeResolver   = (*Registry)(nil)
	_ protoregistry.ExtensionTypeResolver = (*Registry)(nil)
)

// Source returns the name of the source, as [Source].Name.
func (r *Registry) Source() string { return r.source }

// Digest changes when what the source holds changes, comments included. Equal
// sources have equal digests.
func (r *Registry) Digest() [32]byte { return r.digest }

// Folder returns the folder that a file of the source comes from, as it was given
// to [Directories]; empty for other sources.
func (r *Registry) Folder(file protoreflect.FileDescriptor) string { return r.folders[file.Path()] }

// Services returns the services that the source itself declares, sorted by full
// name; neither those of built-in imports nor the reflection, health and
// channelz services, which each server answers for itself. The caller must not
// change the slice.
func (r *Registry) Services() []protoreflect.ServiceDescriptor { return r.services }

// Files returns all linked files: those of the source and the built-in ones that
// they import. The caller must not register anything.
func (r *Registry) Files() *protoregistry.Files { return r.files }

// FindFileByPath finds a file by its import path.
func (r *Registry) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	file, err := r.files.FindFileByPath(path)
	if err == nil {
		return file, nil
	}
	if known := wellKnownFile(path); known != nil {
		return known, nil
	}
	return nil, err
}

// FindDescriptorByName finds a descriptor of any kind by its full name.
func (r *Registry) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	d, err := r.files.FindDescriptorByName(name)
	if err == nil {
		return d, nil
	}
	if known, knownErr := protoregistry.GlobalFiles.FindDescriptorByName(name); knownErr == nil && isWellKnown(known.ParentFile().Path()) {
		return known, nil
	}
	return nil, err
}

// FindMessageByName finds a message by its full name. The type makes dynamic
// messages.
func (r *Registry) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	found, err := r.types.FindMessageByName(name)
	if err == nil {
		return found, nil
	}
	if known, knownErr := protoregistry.GlobalTypes.FindMessageByName(name); knownErr == nil && isWellKnown(known.Descriptor().ParentFile().Path()) {
		return dynamicpb.NewMessageType(known.Descriptor()), nil
	}
	return nil, err
}

// FindMessageByURL finds a message by the type URL of an Any: what follows the
// last slash is its full name.
func (r *Registry) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return r.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindExtensionByName finds an extension field by its full name.
func (r *Registry) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	found, err := r.types.FindExtensionByName(name)
	if err == nil {
		return found, nil
	}
	if known, knownErr := protoregistry.GlobalTypes.FindExtensionByName(name); knownErr == nil && isWellKnown(known.TypeDescriptor().ParentFile().Path()) {
		return known, nil
	}
	return nil, err
}

// FindExtensionByNumber finds an extension field by the message that it extends
// and its number.
func (r *Registry) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	found, err := r.types.FindExtensionByNumber(message, number)
	if err == nil {
		return found, nil
	}
	if known, knownErr := protoregistry.GlobalTypes.FindExtensionByNumber(message, number); knownErr == nil && isWellKnown(known.TypeDescriptor().ParentFile().Path()) {
		return known, nil
	}
	return nil, err
}

// RangeExtensionsByMessage calls a function for each extension of a message that
// the linked files declare, until it returns false.
func (r *Registry) RangeExtensionsByMessage(message protoreflect.FullName, each func(protoreflect.ExtensionType) bool) {
	r.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for extension := range allExtensions(file) {
			if extension.ContainingMessage().FullName() == message && !each(dynamicpb.NewExtensionType(extension)) {
				return false
			}
		}
		return true
	})
}

// ownServices are the services of the given files, sorted, without those that
// belong to a server and not to an API.
func ownServices(files []protoreflect.FileDescriptor) []protoreflect.ServiceDescriptor {
	var services []protoreflect.ServiceDescriptor
	for _, file := range files {
		for i := range file.Services().Len() {
			if service := file.Services().Get(i); !belongsToServer(service.FullName()) {
				services = append(services, service)
			}
		}
	}
	slices.SortFunc(services, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return services
}

// belongsToServer reports whether a service describes or watches the server that
// runs it. The gateway has its own.
func belongsToServer(name protoreflect.FullName) bool {
	for _, prefix := range []string{"grpc.reflection.", "grpc.health.", "grpc.channelz."} {
		if strings.HasPrefix(string(name), prefix) {
			return true
		}
	}
	return false
}
