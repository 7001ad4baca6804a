package schema

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// The numbers of the options that stand beside methods, services and fields, to
// be given to [Registry.Position].
const (
	HTTPOption   int32 = 72295728 // google.api.http of a method
	PolicyOption int32 = 73610    // transom.v1.method, transom.v1.service, transom.v1.field
)

// Position says where a descriptor, or an option of it, was written: the file as
// the user typed it, the line and column from 1. They are 0 where the source has
// no source information, as sets without it and most servers.
//
// The option is a path of field numbers inside the options, and of indexes where
// a field is repeated: (HTTPOption) is the whole rule, (HTTPOption, 2) its get
// field, (HTTPOption, 11, 0) the first additional binding. The answer is as
// precise as the source information: the innermost place known on that path.
func (r *Registry) Position(d protoreflect.Descriptor, option ...int32) (file string, line, column int) {
	parent := d.ParentFile()
	if parent == nil {
		return r.source, 0, 0
	}
	line, column = position(d, option)
	return r.display(parent.Path()), line, column
}

// position finds the line and column of a descriptor, or of an option of it.
func position(d protoreflect.Descriptor, option []int32) (line, column int) {
	locations := d.ParentFile().SourceLocations()
	if locations.Len() == 0 {
		return 0, 0
	}
	path := sourcePath(d)
	for ; len(option) > 0; option = option[:len(option)-1] {
		if at, ok := locate(locations, optionPath(path, d, option)); ok {
			return at.StartLine + 1, at.StartColumn + 1
		}
	}
	if at, ok := locate(locations, path); ok {
		return at.StartLine + 1, at.StartColumn + 1
	}
	return 0, 0
}

// locate finds the location of a path, or else the first of those below it: an
// option that is written field by field has no location of its own.
func locate(locations protoreflect.SourceLocations, path protoreflect.SourcePath) (protoreflect.SourceLocation, bool) {
	if at := locations.ByPath(path); at.Path != nil {
		return at, true
	}
	if locations.Len() > maxScan {
		return protoreflect.SourceLocation{}, false
	}
	var first protoreflect.SourceLocation
	for i := range locations.Len() {
		at := locations.Get(i)
		if len(at.Path) <= len(path) || !slices.Equal(at.Path[:len(path)], path) {
			continue
		}
		if first.Path == nil || before(at, first) {
			first = at
		}
	}
	return first, first.Path != nil
}

// maxScan bounds the locations of a file that are gone through for one position.
// The largest file of googleapis has some 60,000.
const maxScan = 200_000

func before(a, b protoreflect.SourceLocation) bool {
	if a.StartLine != b.StartLine {
		return a.StartLine < b.StartLine
	}
	return a.StartColumn < b.StartColumn
}

// optionPath is the path of an option of d.
func optionPath(path protoreflect.SourcePath, d protoreflect.Descriptor, option []int32) protoreflect.SourcePath {
	return slices.Concat(path, protoreflect.SourcePath{optionsField(d)}, option)
}

// optionsField is the number of the options field in the message of
// descriptor.proto that describes d.
func optionsField(d protoreflect.Descriptor) int32 {
	switch d.(type) {
	case protoreflect.FileDescriptor, protoreflect.FieldDescriptor:
		return 8
	case protoreflect.MessageDescriptor:
		return 7
	case protoreflect.MethodDescriptor:
		return 4
	case protoreflect.OneofDescriptor:
		return 2
	default: // an enum, an enum value, a service
		return 3
	}
}

// sourcePath is the path of a descriptor in its file, as descriptor.proto numbers
// the fields.
func sourcePath(d protoreflect.Descriptor) protoreflect.SourcePath {
	var path protoreflect.SourcePath
	for {
		parent := d.Parent()
		if parent == nil {
			break
		}
		path = append(path, int32(d.Index()), fieldOf(parent, d))
		d = parent
	}
	slices.Reverse(path)
	return path
}

// fieldOf is the number of the field in which a parent holds a child.
func fieldOf(parent, child protoreflect.Descriptor) int32 {
	_, inFile := parent.(protoreflect.FileDescriptor)
	switch child := child.(type) {
	case protoreflect.MessageDescriptor:
		return either(inFile, 4, 3)
	case protoreflect.EnumDescriptor:
		return either(inFile, 5, 4)
	case protoreflect.ServiceDescriptor:
		return 6
	case protoreflect.FieldDescriptor:
		if child.IsExtension() {
			return either(inFile, 7, 6)
		}
		return 2
	case protoreflect.OneofDescriptor:
		return 8
	default: // a method of a service, a value of an enum
		return 2
	}
}

func either(condition bool, yes, no int32) int32 {
	if condition {
		return yes
	}
	return no
}
