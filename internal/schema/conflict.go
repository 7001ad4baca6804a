package schema

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// register adds a linked file, unless it declares what another one declared.
func (l *linker) register(file protoreflect.FileDescriptor) linkState {
	if d, other := l.conflict(file); d != nil {
		l.problems = append(l.problems, l.declaredTwice(d, other))
		return failed
	}
	if err := l.files.RegisterFile(file); err != nil {
		l.problems = append(l.problems, Problem{File: l.display(file.Path()), Message: plain(err)})
		return failed
	}
	return linked
}

// conflict finds a top-level declaration whose name is taken, and what took it.
func (l *linker) conflict(file protoreflect.FileDescriptor) (d, other protoreflect.Descriptor) {
	for d := range topLevel(file) {
		if other, err := l.files.FindDescriptorByName(d.FullName()); err == nil {
			return d, other
		}
	}
	return nil, nil
}

// declaredTwice blames the later one of two declarations, but never a built-in
// file, which the user cannot change.
func (l *linker) declaredTwice(d, other protoreflect.Descriptor) Problem {
	if isLinkedIn(d.ParentFile()) {
		d, other = other, d
	}
	problem := Problem{File: l.display(d.ParentFile().Path())}
	problem.Line, problem.Column = position(d, nil)
	path := other.ParentFile().Path()
	if isLinkedIn(other.ParentFile()) {
		problem.Message = fmt.Sprintf("%s is already declared in the built-in %s: move this file to %[2]s to replace it, or leave it out", d.FullName(), path)
	} else {
		problem.Message = fmt.Sprintf("%s is already declared in %s: leave one of the two files out", d.FullName(), l.display(path))
	}
	return problem
}

// isLinkedIn reports whether a file is a built-in one as the binary has it.
func isLinkedIn(file protoreflect.FileDescriptor) bool {
	return wellKnownFile(file.Path()) == file
}
