package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// reflected is what a server told: its services and its files, as bytes.
type reflected struct {
	services []protoreflect.FullName
	refused  map[protoreflect.FullName]error // services that it does not describe
	files    map[string][]byte               // by name
	parsed   map[string]*descriptorpb.FileDescriptorProto
	imports  []string // of files that are new since missing was asked
	problems Problems
	bytes    int
}

func newReflected() *reflected {
	return &reflected{
		refused: make(map[protoreflect.FullName]error),
		files:   make(map[string][]byte),
		parsed:  make(map[string]*descriptorpb.FileDescriptorProto),
	}
}

// wanted are the services that are worth serving; never nil.
func (f *reflected) wanted() []protoreflect.FullName {
	return slices.DeleteFunc(append([]protoreflect.FullName{}, f.services...), belongsToServer)
}

// digest hashes the services and the files, each with its length before it.
func (f *reflected) digest() [32]byte {
	hash := sha256.New()
	write := func(part []byte) {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = hash.Write(size[:]) // a hash never fails
		_, _ = hash.Write(part)
	}
	for _, service := range f.services {
		write([]byte(service))
	}
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		write([]byte(name))
		write(f.files[name])
	}
	return [32]byte(hash.Sum(nil))
}

// parse returns the files in the order of their names, and what was wrong with
// single ones, by name.
func (f *reflected) parse() ([]*descriptorpb.FileDescriptorProto, Problems) {
	var files []*descriptorpb.FileDescriptorProto
	for _, name := range slices.Sorted(maps.Keys(f.parsed)) {
		files = append(files, f.parsed[name])
	}
	return files, f.problems
}

// fetch asks for everything.
func (f *reflected) fetch(talk *reflectionStream) error {
	services, err := talk.services()
	if err != nil {
		return err
	}
	if len(services) > maxReflectServices {
		return fmt.Errorf("it lists %d services; the limit is %d", len(services), maxReflectServices)
	}
	f.services = services
	for _, service := range f.wanted() {
		files, err := talk.fileContaining(service)
		switch {
		case err == nil:
			err = f.add(files)
		case talk.ended():
		default:
			f.refused[service], err = err, nil
		}
		if err != nil {
			return err
		}
	}
	return f.fetchImports(talk)
}

// fetchImports asks for what the files import, until there is nothing new.
func (f *reflected) fetchImports(talk *reflectionStream) error {
	asked := make(map[string]bool)
	for {
		missing := f.missing(asked)
		if len(missing) == 0 {
			return nil
		}
		for _, path := range missing {
			asked[path] = true
			files, err := talk.fileNamed(path)
			if err == nil {
				err = f.add(files)
			} else if !talk.ended() {
				err = nil // what is missing is named when the files are linked
			}
			if err != nil {
				return err
			}
		}
	}
}

// missing are the imports that the server has not sent, that were not asked for
// yet and that are not built in, in a stable order.
func (f *reflected) missing(asked map[string]bool) []string {
	var paths []string
	for _, path := range f.imports {
		if f.files[path] == nil && !asked[path] && wellKnownFile(path) == nil {
			paths = append(paths, path)
		}
	}
	f.imports = nil
	slices.Sort(paths)
	return slices.Compact(paths)
}

// add takes files that the server sent. A name keeps the first file it stood
// for.
func (f *reflected) add(files [][]byte) error {
	for _, wire := range files {
		file := new(descriptorpb.FileDescriptorProto)
		err := unmarshalKnown(wire, file)
		name := file.GetName()
		switch known := f.files[name]; {
		case err != nil || name == "":
			f.problems = append(f.problems, Problem{File: name, Message: "the server sent a malformed file descriptor"})
			continue
		case known != nil:
			if !slices.Equal(known, wire) {
				f.problems = append(f.problems, Problem{File: name, Message: "the server sent two different files of this name; the first one is taken", Warning: true})
			}
			continue
		}
		if f.bytes += len(wire); f.bytes > maxSourceBytes || len(f.files) == maxFiles {
			return fmt.Errorf("it sends more than %d files or %d bytes of file descriptors", maxFiles, maxSourceBytes)
		}
		f.files[name] = wire
		f.parsed[name] = file
		f.imports = append(f.imports, file.GetDependency()...)
	}
	return nil
}
