package schema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// place adds to a problem the line and column of the first declaration that an
// error of the protobuf runtime quotes, as far as the file says where that is.
func place(file *descriptorpb.FileDescriptorProto, err error, problem Problem) Problem {
	locations := file.GetSourceCodeInfo().GetLocation()
	if len(locations) == 0 {
		return problem
	}
	path := pathOf(file, firstQuoted(plain(err)))
	if path == nil {
		return problem
	}
	for _, location := range locations {
		if span := location.GetSpan(); len(span) >= 3 && slices.Equal(location.GetPath(), path) {
			problem.Line, problem.Column = int(span[0])+1, int(span[1])+1
			break
		}
	}
	return problem
}

// firstQuoted is what stands between the first two double quotes.
func firstQuoted(text string) string {
	_, rest, _ := strings.Cut(text, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// pathOf is the path, as [protoreflect.SourcePath], of the message or field of
// that full name, or nil.
func pathOf(file *descriptorpb.FileDescriptorProto, name string) []int32 {
	for i, message := range file.GetMessageType() {
		if path := pathInMessage(message, file.GetPackage(), name, []int32{4, int32(i)}); path != nil {
			return path
		}
	}
	return nil
}

func pathInMessage(message *descriptorpb.DescriptorProto, scope, name string, path []int32) []int32 {
	full := strings.TrimPrefix(scope+"."+message.GetName(), ".")
	if name == full {
		return path
	}
	rest, inside := strings.CutPrefix(name, full+".")
	if !inside {
		return nil
	}
	for i, field := range message.GetField() {
		if field.GetName() == rest {
			return append(slices.Clip(path), 2, int32(i))
		}
	}
	for i, nested := range message.GetNestedType() {
		if found := pathInMessage(nested, full, name, append(slices.Clip(path), 3, int32(i))); found != nil {
			return found
		}
	}
	return nil
}
