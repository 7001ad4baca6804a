package schema

import (
	"strings"
	"sync"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// What users may import without having it in their folder: these packages
	// link the descriptors in, and the options below come in their types.
	//
	// A descriptor set embedded in their place would save 1.6 MB of the binary (of 48.8,
	// stripped) less its own size. The modules would stay in go.mod, for they have these
	// descriptors in Go code alone, and the set is made of that. And the set could not be
	// in protoregistry, which panics where the program links one of the modules as well (a
	// test does, and others' programs may), so that what imports a file of the set and one
	// that is linked in (annotations, status, code, errdetails) would need two registries.
	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "cloud.google.com/go/longrunning/autogen/longrunningpb"
	_ "github.com/google/gnostic-models/openapiv3"
	_ "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	_ "google.golang.org/genproto/googleapis/api"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/configchange"
	_ "google.golang.org/genproto/googleapis/api/distribution"
	_ "google.golang.org/genproto/googleapis/api/error_reason"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	_ "google.golang.org/genproto/googleapis/api/label"
	_ "google.golang.org/genproto/googleapis/api/metric"
	_ "google.golang.org/genproto/googleapis/api/monitoredres"
	_ "google.golang.org/genproto/googleapis/api/serviceconfig"
	_ "google.golang.org/genproto/googleapis/api/visibility"
	_ "google.golang.org/genproto/googleapis/rpc/code"
	_ "google.golang.org/genproto/googleapis/rpc/context/attribute_context"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	_ "google.golang.org/genproto/googleapis/rpc/http"
	_ "google.golang.org/genproto/googleapis/rpc/status"
	_ "google.golang.org/genproto/googleapis/type/calendarperiod"
	_ "google.golang.org/genproto/googleapis/type/color"
	_ "google.golang.org/genproto/googleapis/type/date"
	_ "google.golang.org/genproto/googleapis/type/datetime"
	_ "google.golang.org/genproto/googleapis/type/dayofweek"
	_ "google.golang.org/genproto/googleapis/type/decimal"
	_ "google.golang.org/genproto/googleapis/type/expr"
	_ "google.golang.org/genproto/googleapis/type/fraction"
	_ "google.golang.org/genproto/googleapis/type/interval"
	_ "google.golang.org/genproto/googleapis/type/latlng"
	_ "google.golang.org/genproto/googleapis/type/localized_text"
	_ "google.golang.org/genproto/googleapis/type/money"
	_ "google.golang.org/genproto/googleapis/type/month"
	_ "google.golang.org/genproto/googleapis/type/phone_number"
	_ "google.golang.org/genproto/googleapis/type/postaladdress"
	_ "google.golang.org/genproto/googleapis/type/quaternion"
	_ "google.golang.org/genproto/googleapis/type/timeofday"
	_ "google.golang.org/protobuf/types/gofeaturespb"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/apipb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/sourcecontextpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/typepb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
	_ "google.golang.org/protobuf/types/pluginpb"

	// The policy options, likewise.
	_ "github.com/transom-gateway/transom/proto/transom/v1"
)

// wellKnownFolders are the import paths that are built in. Whatever else is
// linked into the binary is the gateway's own business and not importable.
var wellKnownFolders = []string{
	"google/protobuf/",
	"google/api/",
	"google/rpc/",
	"google/type/",
	"google/longrunning/",
	"buf/validate/",
	"protoc-gen-openapiv2/options/",
	"openapiv3/",
	"transom/v1/",
}

// The gnostic options are known by two names: as the Go module has them, and as
// the buf registry does, where path and package differ but not a field number.
const (
	gnosticPath        = "openapiv3/"
	gnosticPackage     = "openapi.v3"
	gnosticRegistry    = "gnostic/openapi/v3/"
	gnosticRegistryPkg = "gnostic.openapi.v3"
)

// gnosticFiles are the built-in files that exist only under the name of the buf
// registry, built from those of the Go module.
var gnosticFiles = sync.OnceValue(func() *protoregistry.Files {
	files := new(protoregistry.Files)
	for _, name := range []string{"OpenAPIv3.proto", "annotations.proto"} {
		original, err := protoregistry.GlobalFiles.FindFileByPath(gnosticPath + name)
		if err != nil {
			continue
		}
		file, err := protodesc.NewFile(underRegistryName(original), eitherFiles{files, protoregistry.GlobalFiles})
		if err != nil {
			continue
		}
		// The only file there can be of that name and package.
		_ = files.RegisterFile(file)
	}
	return files
})

// underRegistryName rewrites the path, the package and all references of a
// gnostic file to the names of the buf registry.
func underRegistryName(original protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	file := protodesc.ToFileDescriptorProto(original)
	file.Name = proto.String(registryPath(file.GetName()))
	file.Package = proto.String(gnosticRegistryPkg)
	for i, dependency := range file.Dependency {
		file.Dependency[i] = registryPath(dependency)
	}
	for _, extension := range file.Extension {
		renameType(extension)
	}
	for _, message := range file.MessageType {
		renameTypes(message)
	}
	return file
}

func registryPath(path string) string {
	name, ok := strings.CutPrefix(path, gnosticPath)
	if !ok {
		return path
	}
	return gnosticRegistry + strings.ToLower(name)
}

func renameTypes(message *descriptorpb.DescriptorProto) {
	for _, field := range message.Field {
		renameType(field)
	}
	for _, nested := range message.NestedType {
		renameTypes(nested)
	}
}

func renameType(field *descriptorpb.FieldDescriptorProto) {
	if rest, ok := strings.CutPrefix(field.GetTypeName(), "."+gnosticPackage+"."); ok {
		field.TypeName = proto.String("." + gnosticRegistryPkg + "." + rest)
	}
}

// eitherFiles looks in one registry, then in the other.
type eitherFiles struct{ first, second *protoregistry.Files }

func (e eitherFiles) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file, err := e.first.FindFileByPath(path); err == nil {
		return file, nil
	}
	return e.second.FindFileByPath(path)
}

func (e eitherFiles) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := e.first.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return e.second.FindDescriptorByName(name)
}

// isWellKnown reports whether a path is one that users may import without having
// the file. The file need not exist.
func isWellKnown(path string) bool {
	for _, folder := range wellKnownFolders {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return strings.HasPrefix(path, gnosticRegistry)
}

// wellKnownFile returns the linked-in file of an import path, or nil.
func wellKnownFile(path string) protoreflect.FileDescriptor {
	if !isWellKnown(path) {
		return nil
	}
	files := protoregistry.GlobalFiles
	if strings.HasPrefix(path, gnosticRegistry) {
		files = gnosticFiles()
	}
	file, err := files.FindFileByPath(path)
	if err != nil {
		return nil
	}
	return file
}

// wellKnownPaths lists every built-in import path, for suggestions.
func wellKnownPaths() []string {
	var paths []string
	add := func(file protoreflect.FileDescriptor) bool {
		if isWellKnown(file.Path()) {
			paths = append(paths, file.Path())
		}
		return true
	}
	protoregistry.GlobalFiles.RangeFiles(add)
	gnosticFiles().RangeFiles(add)
	return paths
}

// wellKnownTexts keeps the source text of the built-in files that were asked
// for: path → text. A text depends on nothing but the binary.
var wellKnownTexts sync.Map

// wellKnownText returns the source text of a built-in file, written back from
// its descriptor, for the compiler; ok is false if there is no such file.
func wellKnownText(path string) (text string, ok bool) {
	if known, ok := wellKnownTexts.Load(path); ok {
		return known.(string), true
	}
	file := wellKnownFile(path)
	if file == nil {
		return "", false
	}
	text, err := new(protoprint.Printer).PrintProtoToString(file)
	if err != nil {
		return "", false
	}
	wellKnownTexts.Store(path, text)
	return text, true
}
