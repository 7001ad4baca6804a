package schema

import (
	"slices"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Without returns the registry as it would be without some services and methods,
// to be shown to those who must not know of them. A file with no other service is
// not in it, nor is what nothing but such files imports. It has no positions.
func (r *Registry) Without(hidden func(protoreflect.FullName) bool) *Registry {
	p := pruner{hidden: hidden, files: new(protoregistry.Files), done: make(map[string]bool)}
	for path := range r.publicFiles(hidden) {
		if file, err := r.files.FindFileByPath(path); err == nil {
			p.add(file)
		}
	}
	public := *r
	public.files, public.types = p.files, dynamicpb.NewTypes(p.files)
	public.services = nil
	for _, service := range r.services {
		if d, err := p.files.FindDescriptorByName(service.FullName()); err == nil {
			if kept, ok := d.(protoreflect.ServiceDescriptor); ok {
				public.services = append(public.services, kept)
			}
		}
	}
	return &public
}

// publicFiles are the paths of the files that stay.
func (r *Registry) publicFiles(hidden func(protoreflect.FullName) bool) map[string]bool {
	imports := make(map[string][]string)
	closed := make(map[string]bool) // files with services, of which none stays
	r.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Imports().Len() {
			imports[file.Path()] = append(imports[file.Path()], file.Imports().Get(i).Path())
		}
		closed[file.Path()] = isClosed(file, hidden)
		return true
	})
	below := make(map[string]bool) // imported by closed files
	for path, is := range closed {
		if is {
			for imported := range reachable(imports, path) {
				below[imported] = true
			}
		}
	}
	public := make(map[string]bool)
	r.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if path := file.Path(); !closed[path] && (file.Services().Len() > 0 || !below[path]) {
			for imported := range reachable(imports, path) {
				public[imported] = true
			}
		}
		return true
	})
	return public
}

// isClosed reports whether a file has services, and each is hidden.
func isClosed(file protoreflect.FileDescriptor, hidden func(protoreflect.FullName) bool) bool {
	for i := range file.Services().Len() {
		if !hidden(file.Services().Get(i).FullName()) {
			return false
		}
	}
	return file.Services().Len() > 0
}

// pruner builds files anew that have something hidden, and those that import them.
type pruner struct {
	hidden func(protoreflect.FullName) bool
	files  *protoregistry.Files
	done   map[string]bool // whether the file was built anew
}

// add adds a file and its imports, and reports whether it is another one now.
func (p *pruner) add(file protoreflect.FileDescriptor) bool {
	if changed, done := p.done[file.Path()]; done {
		return changed
	}
	changed := p.touches(file)
	for i := range file.Imports().Len() {
		if imported := file.Imports().Get(i); !imported.IsPlaceholder() && p.add(imported.FileDescriptor) {
			changed = true
		}
	}
	p.done[file.Path()] = changed
	if changed {
		pruned, err := protodesc.FileOptions{AllowUnresolvable: true}.New(p.prune(file), p.files)
		if err != nil {
			return true // rather nothing than what is hidden
		}
		file = pruned
	}
	_ = p.files.RegisterFile(file) // each file was registered once before
	return changed
}

// touches reports whether a file has something hidden.
func (p *pruner) touches(file protoreflect.FileDescriptor) bool {
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		if p.hidden(service.FullName()) {
			return true
		}
		for j := range service.Methods().Len() {
			if p.hidden(service.Methods().Get(j).FullName()) {
				return true
			}
		}
	}
	return false
}

// prune is a file without what is hidden.
func (p *pruner) prune(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	pruned := protodesc.ToFileDescriptorProto(file)
	pruned.SourceCodeInfo = nil // it has the comments
	pruned.Service = slices.DeleteFunc(pruned.Service, func(s *descriptorpb.ServiceDescriptorProto) bool {
		full := file.Package().Append(protoreflect.Name(s.GetName()))
		s.Method = slices.DeleteFunc(s.Method, func(m *descriptorpb.MethodDescriptorProto) bool {
			return p.hidden(full.Append(protoreflect.Name(m.GetName())))
		})
		return p.hidden(full)
	})
	return pruned
}
