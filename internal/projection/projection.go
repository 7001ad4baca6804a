// Package projection cuts messages down to some of their fields, of which none is sensitive, so
// that they can be told to others.
//
//	p, err := projection.New(descriptor, projection.Options{Paths: []string{"book.id", "tags"}})
//	less, err := p.Append(nil, message)   // in wire format
//	p.Descriptor()                        // the message with these fields alone, for other forms
//
// What the schema does not know, and extensions, are no part of it: nobody can say what they are.
package projection

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/schema"
)

// MaxDepth is how deep messages may nest.
const MaxDepth = 100

// Options say what stays of messages.
type Options struct {
	// Paths are the fields that stay: "*" for all, or dotted paths, which may end with ".*"
	// and lead through the values of lists and maps.
	Paths []string
	// HashKey has the HMAC-SHA-256 of sensitive texts and bytes stand in their place, in
	// hexadecimal. Nil: they are left out, too.
	HashKey []byte
	// Find finds the message that an Any names. What is in others is left out, and their
	// URL stays. Nil: that is so for all.
	Find func(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
}

// Projection is made for one message. It is safe for concurrent use.
type Projection struct {
	view   *view
	filter *filter
	whole  *wholes
	find   func(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
	// rewrites tells that values change: a parser that knows the Descriptor alone does
	// not see the same as in what Append makes.
	rewrites bool
	hashes   sync.Pool

	inner sync.Map // of an Any, by its name: *filter, nil for what Find does not find
}

// New makes one. The error is about the first path that is wrong.
func New(m protoreflect.MessageDescriptor, o Options) (*Projection, error) {
	p := &Projection{whole: &wholes{hashes: o.HashKey != nil, done: map[protoreflect.FullName]protoreflect.MessageDescriptor{}}, find: o.Find}
	root := new(node)
	for _, path := range o.Paths {
		if err := p.add(root, m, path); err != nil {
			return nil, err
		}
	}
	p.view = p.cut(m, root)
	p.filter = p.newFilter(p.view, map[protoreflect.MessageDescriptor]*filter{})
	key := o.HashKey
	p.hashes.New = func() any { return hmac.New(sha256.New, key) }
	return p, nil
}

// Descriptor is the message with the fields that stay, and so are those in it. It has the name
// of the whole one.
func (p *Projection) Descriptor() protoreflect.MessageDescriptor { return p.view }

// Rewrites reports whether what stays is more than the fields of the Descriptor in the message as
// it is: there are hashes, or an Any.
func (p *Projection) Rewrites() bool { return p.rewrites }

// FindMessageByName finds what an Any names, as it is when it was projected.
func (p *Projection) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	if p.find == nil {
		return nil, errUnknown
	}
	m, err := p.find(name)
	if err != nil || m == nil {
		return nil, errUnknown
	}
	return p.whole.of(m), nil
}

// FindExtensionByName finds none.
func (p *Projection) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	return nil, errUnknown
}

// FindExtensionByNumber finds none.
func (p *Projection) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	return nil, errUnknown
}

// Sensitive reports whether a field is marked so: nobody but the caller and the backend may see it.
func Sensitive(f protoreflect.FieldDescriptor) bool {
	if schema.FieldOptions(f).GetSensitive() {
		return true
	}
	o, ok := f.Options().(*descriptorpb.FieldOptions)
	return ok && o.GetDebugRedact()
}

// hashed reports whether a sensitive field may leave as a hash.
func hashed(f protoreflect.FieldDescriptor) bool {
	return (f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind) && !f.IsMap()
}

// hmacOf returns a hash to be given back.
func (p *Projection) hmacOf() hash.Hash {
	h, _ := p.hashes.Get().(hash.Hash)
	h.Reset()
	return h
}
