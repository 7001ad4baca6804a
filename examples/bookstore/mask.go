package bookstore

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// copyFields sets the fields of to that the mask names to what they are in
// from; a field that is not set there is cleared. "*" names all. A path that
// is no field is InvalidArgument. The values are copies.
func copyFields(to, from proto.Message, mask *fieldmaskpb.FieldMask, field string) error {
	source := proto.Clone(from).ProtoReflect()
	for _, path := range mask.GetPaths() {
		if path == "*" {
			proto.Reset(to)
			proto.Merge(to, source.Interface())
			continue
		}
		if !copyField(to.ProtoReflect(), source, strings.Split(path, ".")) {
			return status.Errorf(codes.InvalidArgument, "%s has the path %q, which is no field of %s",
				field, path, source.Descriptor().FullName())
		}
	}
	return nil
}

// copyField copies the field at the end of path and reports whether there is
// such a field. Only the last part may be a list or a map.
func copyField(to, from protoreflect.Message, path []string) bool {
	fd := from.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch {
	case fd == nil:
		return false
	case len(path) > 1:
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return false
		}
		return copyField(to.Mutable(fd).Message(), from.Get(fd).Message(), path[1:])
	case from.Has(fd):
		to.Set(fd, from.Get(fd))
	default:
		to.Clear(fd)
	}
	return true
}
