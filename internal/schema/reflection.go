package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/problem"
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
	name     string
	conn     atomic.Pointer[grpc.ClientConnInterface]
	metadata metadata.MD

	// protocol is the index of the version that answered last.
	protocol atomic.Int32

	// last is what was loaded last, digest its digest.
	last   atomic.Pointer[Registry]
	digest atomic.Pointer[[32]byte]

	patience atomic.Int64 // a time.Duration; 0 for one who does not go on without
	away     atomic.Bool
	// next is what Changed was told, for the Load that follows: a server that is slow
	// is not asked twice.
	next atomic.Pointer[reflected]
	// down tells that the connection was lost since Reconnected last said so.
	down atomic.Bool
}

var _ Source = (*Reflector)(nil)

// Reflection returns the source of the server behind a connection, which stays
// the caller's to close. The name is for messages.
func Reflection(name string, conn grpc.ClientConnInterface) *Reflector {
	r := &Reflector{name: name}
	r.Ask(conn)
	return r
}

// Ask has the server be asked over another connection from now on. What it gave stays.
func (r *Reflector) Ask(conn grpc.ClientConnInterface) { r.conn.Store(&conn) }

// Send has the server be sent metadata with each question. Call it before the first.
func (r *Reflector) Send(md metadata.MD) { r.metadata = md }

// Name implements [Source].
func (r *Reflector) Name() string { return r.name }

// Load implements [Source]. It asks the server for its services, for the files
// that declare them and for all that these import. Imports that the server does
// not know are filled in from the built-in files, or left out when nothing but
// options needs them. A service that cannot be had costs no other.
func (r *Reflector) Load(ctx context.Context) (*Registry, Problems) {
	found, err := r.ask(ctx)
	if err != nil {
		return r.without(err)
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
	problems = tolerated(registry, problems)
	if problems.Err() != nil {
		return r.useless(problems)
	}
	r.last.Store(registry)
	return registry, problems
}

// ask is what the server tells, or told Changed.
func (r *Reflector) ask(ctx context.Context) (*reflected, error) {
	if found := r.next.Swap(nil); found != nil {
		return found, nil
	}
	if patience := r.patience.Load(); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(patience))
		defer cancel()
	}
	return r.fetch(ctx)
}

// Changed asks the server whether it would give another registry than the last
// Load did. It is false when the server does not answer: what is in service
// stays.
func (r *Reflector) Changed(ctx context.Context) bool {
	found, err := r.fetch(ctx)
	if err != nil {
		return false
	}
	if last := r.digest.Load(); last != nil && *last == found.digest() {
		return false
	}
	r.next.Store(found)
	return true
}

// display names a file of the server.
func (r *Reflector) display(importPath string) string {
	return r.name + ":" + shortened(importPath)
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
		message := fmt.Sprintf("service %s is left out: its file could not be loaded", shortened(string(name)))
		if reason := found.refused[name]; reason != nil {
			message = fmt.Sprintf("service %s is left out: the server lists it and does not describe it: %s", shortened(string(name)), statusText(reason))
		}
		problems = append(problems, Problem{File: r.name, Message: message})
	}
	return problems
}

// fetch has the whole conversation, in the version of the protocol that the
// server knows.
func (r *Reflector) fetch(ctx context.Context) (found *reflected, err error) {
	defer func(asking context.Context) {
		if !errors.Is(asking.Err(), context.Canceled) { // else nothing was learnt
			r.away.Store(errors.Is(err, errServerAway))
		}
	}(ctx)
	ctx, cancel := context.WithTimeout(ctx, reflectionTimeout)
	defer cancel()
	if len(r.metadata) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, r.metadata)
	}
	var failure error
	first := int(r.protocol.Load())
	for i := range reflectionMethods {
		version := (first + i) % len(reflectionMethods)
		found := newReflected()
		talk := &reflectionStream{ctx: ctx, conn: *r.conn.Load(), method: reflectionMethods[version]}
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
	why := errNotUnderstood
	switch status.Code(failure) {
	case codes.Unavailable, codes.DeadlineExceeded:
		why = errServerAway
	}
	return nil, fmt.Errorf("%w: %s%s", why, statusText(failure), r.advice())
}

// advice is what the connection knows to do about its failure, for people.
func (r *Reflector) advice() string {
	conn, ok := (*r.conn.Load()).(interface{ Advice() string })
	if !ok {
		return ""
	}
	if advice := conn.Advice(); advice != "" {
		return ": " + advice
	}
	return ""
}

// A server that does not answer may do so later; one that answers something else
// than its schema is worth a look. People are told the same.
var (
	errServerAway    = errors.New("the server cannot be asked for its schema")
	errNotUnderstood = errors.New(errServerAway.Error())
)

// errNoReflection is what a server without the service gets.
var errNoReflection = errors.New("the server has no reflection service, neither grpc.reflection.v1 nor v1alpha: " +
	"switch it on there, or give the .proto files or a descriptor set instead")

// tryOther reports whether the other version of the protocol may do better. A
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
	return fmt.Sprintf("%s (%v)", shortened(s.Message()), s.Code())
}

// maxShown bounds what a server's name or text has in a message, in bytes.
const maxShown = 200

// shortened is a server's text for people.
func shortened(s string) string { return problem.Clip(s, maxShown) }
