package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// linkInput is what one source has read.
type linkInput struct {
	source string

	// display turns an import path into the file as the user knows it.
	display func(path string) string

	// folders are the folders of the files, by import path, if the source has any.
	folders map[string]string

	// files are the source's own, in any order, each with a name of its own.
	files []*descriptorpb.FileDescriptorProto

	// imported are files that the own ones may import and that are part of the
	// schema, but whose services are not.
	imported []*descriptorpb.FileDescriptorProto

	// strict refuses a file whose imports are not all there, even if nothing but
	// options needs them, without a word more than what is said of the import.
	strict bool

	// services restricts the services to these; nil stands for all.
	services []protoreflect.FullName

	digest [32]byte
}

// link links the files of a source file by file, so that a bad one costs itself
// and what cannot be without it. It never fails as a whole: the registry holds
// what is good, the problems name the rest.
func link(in linkInput) (*Registry, Problems) {
	l := &linker{
		strict:  in.strict,
		display: in.display,
		pending: make(map[string]*descriptorpb.FileDescriptorProto, len(in.files)+len(in.imported)),
		state:   make(map[string]linkState, len(in.files)+len(in.imported)),
		files:   new(protoregistry.Files),
	}
	for _, file := range slices.Concat(in.imported, in.files) {
		l.pending[file.GetName()] = file
	}
	var own []protoreflect.FileDescriptor
	for _, file := range in.files {
		if l.link(file.GetName()) != linked {
			continue
		}
		if d, err := l.files.FindFileByPath(file.GetName()); err == nil {
			own = append(own, d)
		}
	}
	services := ownServices(own)
	if in.services != nil {
		services = slices.DeleteFunc(services, func(s protoreflect.ServiceDescriptor) bool {
			return !slices.Contains(in.services, s.FullName())
		})
	}
	return &Registry{
		source:   in.source,
		display:  in.display,
		digest:   in.digest,
		folders:  in.folders,
		files:    l.files,
		types:    dynamicpb.NewTypes(l.files),
		services: services,
	}, l.problems.Sorted()
}

type linkState int

const (
	untouched linkState = iota
	visiting            // on the way down: meeting it again is a cycle
	linked
	failed  // named in the problems
	missing // neither in the source nor built in
)

// linker links the files of one source in the order of their imports.
type linker struct {
	strict   bool
	display  func(path string) string
	pending  map[string]*descriptorpb.FileDescriptorProto
	state    map[string]linkState
	files    *protoregistry.Files
	problems Problems
}

// link makes sure that a file is linked, and what it imports before it.
func (l *linker) link(path string) linkState {
	if state := l.state[path]; state != untouched {
		return state
	}
	l.state[path] = visiting
	file, own := l.pending[path]
	var state linkState
	switch {
	case own:
		state = l.linkOwn(file)
	default:
		state = l.linkWellKnown(path)
	}
	l.state[path] = state
	delete(l.pending, path)
	return state
}

// linkWellKnown takes a built-in file: as it is linked into the binary, or
// built anew when the source has its own copy of something it imports.
func (l *linker) linkWellKnown(path string) linkState {
	file := wellKnownFile(path)
	if file == nil {
		return missing
	}
	if l.overridden(file, make(map[string]bool)) {
		return l.linkOwn(protodesc.ToFileDescriptorProto(file))
	}
	imports := file.Imports()
	for i := range imports.Len() {
		l.link(imports.Get(i).Path())
	}
	return l.register(file)
}

// overridden reports whether the source has its own copy of a file that a built-in
// one imports, however far away.
func (l *linker) overridden(file protoreflect.FileDescriptor, seen map[string]bool) bool {
	imports := file.Imports()
	for i := range imports.Len() {
		imported := imports.Get(i)
		if seen[imported.Path()] {
			continue
		}
		seen[imported.Path()] = true
		if l.own(imported.Path()) || l.overridden(imported.FileDescriptor, seen) {
			return true
		}
	}
	return false
}

// own reports whether the source has a file of that path, linked or not.
func (l *linker) own(path string) bool {
	if _, waiting := l.pending[path]; waiting {
		return true
	}
	d, err := l.files.FindFileByPath(path)
	return err == nil && d != wellKnownFile(path)
}

// linkOwn links the imports of a file, then the file. An import that is missing
// or bad is left out if nothing but options needs it.
func (l *linker) linkOwn(file *descriptorpb.FileDescriptorProto) linkState {
	absent := make(map[int]bool)
	for i, dependency := range file.GetDependency() {
		switch l.link(dependency) {
		case linked:
		case visiting:
			l.report(file, false, "import cycle: %q is imported by what it imports itself", dependency)
			return failed
		default:
			absent[i] = true
		}
	}
	if l.strict && len(absent) > 0 && l.problems.Err() != nil {
		return failed // what is wrong with the import is said
	}
	if l.strict && len(absent) > 0 {
		l.report(file, true, "%s; it is left out", l.absence(file.GetDependency()[slices.Min(slices.Collect(maps.Keys(absent)))]))
		return failed
	}
	d, err := l.build(without(file, absent))
	errs := []error{err}
	if err == nil {
		errs = reservedJSONNames(file)
	}
	for _, err := range errs {
		l.problems = append(l.problems, place(file, err, Problem{
			File:    l.display(file.GetName()),
			Message: l.reason(file, absent, err),
			Warning: isMessageSet(err),
		}))
	}
	if len(errs) > 0 {
		return failed
	}
	for i := range absent {
		l.report(file, true, "%s; only options can need it, so they are unknown and the rest is served", l.absence(file.GetDependency()[i]))
	}
	return l.register(d)
}

// build makes the descriptor of a file. Hostile descriptors must not take the
// process with them, whatever the library thinks of them.
func (l *linker) build(file *descriptorpb.FileDescriptorProto) (d protoreflect.FileDescriptor, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			d, err = nil, fmt.Errorf("the descriptor is malformed: %v", panicked)
		}
	}()
	return protodesc.NewFile(file, l.files)
}

// maxCauses bounds how many absent imports one problem names.
const maxCauses = 8

// reason says why a file could not be linked: what it lacks, if it lacks
// something, else what is wrong with itself.
func (l *linker) reason(file *descriptorpb.FileDescriptorProto, absent map[int]bool, err error) string {
	cause := plain(err)
	if len(absent) == 0 {
		return cause
	}
	var causes []string
	for i, dependency := range file.GetDependency() {
		if absent[i] && len(causes) < maxCauses {
			causes = append(causes, l.absence(dependency))
		}
	}
	return fmt.Sprintf("%s (%s)", strings.Join(causes, "; "), cause)
}

// absence says what became of an import.
func (l *linker) absence(path string) string {
	if l.state[path] == failed {
		return fmt.Sprintf("imports %q, which could not be loaded", path)
	}
	return fmt.Sprintf("imports %q, which is missing", path)
}

// plain is the text of an error of the protobuf runtime, without its name.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ") // the runtime varies its white space on purpose
	return strings.TrimPrefix(text, "proto: ")
}

// report adds a problem of a file as a whole.
func (l *linker) report(file *descriptorpb.FileDescriptorProto, warning bool, format string, args ...any) {
	l.problems = append(l.problems, Problem{
		File:    l.display(file.GetName()),
		Message: fmt.Sprintf(format, args...),
		Warning: warning,
	})
}

// without returns a file without some of its imports, given by index; the file
// itself is not changed.
func without(file *descriptorpb.FileDescriptorProto, absent map[int]bool) *descriptorpb.FileDescriptorProto {
	if len(absent) == 0 {
		return file
	}
	moved := make(map[int32]int32, len(file.Dependency))
	var kept []string
	for i, dependency := range file.Dependency {
		if absent[i] {
			continue
		}
		moved[int32(i)] = int32(len(kept))
		kept = append(kept, dependency)
	}
	renumber := func(indexes []int32) (result []int32) {
		for _, i := range indexes {
			if to, ok := moved[i]; ok {
				result = append(result, to)
			}
		}
		return result
	}
	changed := proto.Clone(file).(*descriptorpb.FileDescriptorProto)
	changed.Dependency = kept
	changed.PublicDependency = renumber(file.PublicDependency)
	changed.WeakDependency = renumber(file.WeakDependency)
	return changed
}
