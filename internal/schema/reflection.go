package schema

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The bounds of one conversation with a server.
const (
	reflectionTimeout  = 30 * time.Second
	reflectionMessage  = 64 << 20 // bytes of one answer; some servers send all files at once
	maxReflectServices = 10_000
)

// Reflector is the source of a running server that answers the gRPC reflection
// service, v1 or v1alpha. It is safe for concurrent use.
type Reflector struct {
	name string
	conn grpc.ClientConnInterface

	// protocol is the index of the version that answered last.
	protocol atomic.Int32

	// digest is that of the last registry.
	digest atomic.Pointer[[32]byte]
}

var _ Source = (*Reflector)(nil)

// Reflection returns the source of the server behind a connection, which stays
// the caller's to close. The name is for messages.
func Reflection(name string, conn grpc.ClientConnInterface) *Reflector {
	return &Reflector{name: name, conn: conn}
}

// Name implements [Source].
func (r *Reflector) Name() string { return r.name }

// Load implements [Source]. It asks the server for its services, for the files
// that declare them and for all that these import. Imports that the server does
// not know are filled in from the built-in files, or left out when nothing but
// options needs them. A service that cannot be had costs no other.
func (r *Reflector) Load(ctx context.Context) (*Registry, Problems) {
	found, err := r.fetch(ctx)
	if err != nil {
		return nil, Problems{{File: r.name, Message: err.Error()}}
	}
	digest := found.digest()
	files, problems := found.parse()
	for i := range problems {
		problems[i].File = r.display(problems[i].File)
	}
	registry, more := link(linkInput{
		source:   r.name,
		display:  r.display,
		files:    files,
		services: found.wanted(),
		digest:   digest,
	})
	problems = slices.Concat(problems, more, r.absent(found, registry))
	if len(found.services) == 0 {
		problems = append(problems, Problem{File: r.name, Message: "the server lists no services", Warning: true})
	}
	r.digest.Store(&digest)
	return registry, problems.sorted()
}

// Changed asks the server whether it would give another registry than the last
// Load did. It is false when the server does not answer: what is in service
// stays.
func (r *Reflector) Changed(ctx context.Context) bool {
	found, err := r.fetch(ctx)
	if err != nil {
		return false
	}
	last := r.digest.Load()
	return last == nil || *last != found.digest()
}

// display names a file of the server.
func (r *Reflector) display(importPath string) string {
	return r.name + ":" + importPath
}

// absent names the services that the server lists and the registry lacks.
func (r *Reflector) absent(found *reflected, registry *Registry) Problems {
	have := make(map[protoreflect.FullName]bool)
	for _, service := range registry.Services() {
		have[service.FullName()] = true
	}
	var problems Problems
	for _, name := range found.wanted() {
		if have[name] {
			continue
		}
		message := fmt.Sprintf("service %s is left out: its file could not be loaded", name)
		if reason := found.refused[name]; reason != nil {
			message = fmt.Sprintf("service %s is left out: the server lists it and does not describe it: %s", name, statusText(reason))
		}
		problems = append(problems, Problem{File: r.name, Message: message})
	}
	return problems
}

// fetch has the whole conversation, in the version of the protocol that the
// server knows.
func (r *Reflector) fetch(ctx context.Context) (*reflected, error) {
	ctx, cancel := context.WithTimeout(ctx, reflectionTimeout)
	defer cancel()
	var failure error
	first := int(r.protocol.Load())
	for i := range reflectionMethods {
		version := (first + i) % len(reflectionMethods)
		found := newReflected()
		talk := &reflectionStream{ctx: ctx, conn: r.conn, method: reflectionMethods[version]}
		err := found.fetch(talk)
		talk.close()
		if err == nil {
			r.protocol.Store(int32(version))
			return found, nil
		}
		if failure == nil || status.Code(failure) == codes.Unimplemented {
			failure = err
		}
		if talk.answers > 0 || !tryOther(err) {
			break
		}
	}
	if status.Code(failure) == codes.Unimplemented {
		return nil, errNoReflection
	}
	return nil, fmt.Errorf("the server cannot be asked for its schema: %s", statusText(failure))
}

// errNoReflection is what a server without the service gets.
var errNoReflection = errors.New("the server has no reflection service, neither grpc.reflection.v1 nor v1alpha: " +
	"switch it on there, or give the .proto files or a descriptor set instead")

// tryOther tells whether the other version of the protocol may do better. A
// server that does not know a service should say so; some close the stream or the
// connection.
func tryOther(err error) bool {
	switch status.Code(err) {
	case codes.Unimplemented, codes.Unavailable, codes.Unknown, codes.Internal:
		return true
	}
	return false
}

// statusText is the text of a gRPC error without the name of its type.
func statusText(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	return fmt.Sprintf("%s (%v)", s.Message(), s.Code())
}

// reflected is what a server told: its services and its files, as bytes.
type reflected struct {
	services []protoreflect.FullName
	refused  map[protoreflect.FullName]error // services that it does not describe
	files    map[string][]byte               // by name
	parsed   map[string]*descriptorpb.FileDescriptorProto
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
	for _, file := range f.parsed {
		for _, path := range file.GetDependency() {
			if f.files[path] == nil && !asked[path] && wellKnownFile(path) == nil {
				paths = append(paths, path)
			}
		}
	}
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
	}
	return nil
}
