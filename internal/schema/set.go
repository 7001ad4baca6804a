package schema

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/regularfile"
)

// DescriptorSet is the source of a file that holds a google.protobuf.FileDescriptorSet
// or a buf image, binary or JSON, plain or compressed with gzip. Ending and
// content tell which. Imports that the set lacks are filled in from the built-in
// files. What a buf image marks as an import is there to be imported, its
// services are not served.
func DescriptorSet(path string) Source { return descriptorSet{path: path} }

type descriptorSet struct{ path string }

// Name implements [Source].
func (s descriptorSet) Name() string { return s.path }

// Load implements [Source]. One bad file in the set costs itself and what cannot
// be without it; the problems name all of them.
func (s descriptorSet) Load(ctx context.Context) (*Registry, Problems) {
	data, err := regularfile.ReadContext(ctx, s.path, maxSourceBytes)
	if err != nil {
		return nil, s.problem("cannot be read: %s", cause(err))
	}
	if data, err = inflate(data, maxSourceBytes); err != nil {
		return nil, s.problem("cannot be inflated: %v", err)
	}
	return s.load(ctx, data)
}

// load loads the inflated content of the file.
func (s descriptorSet) load(ctx context.Context, data []byte) (*Registry, Problems) {
	set, err := parseSet(ctx, data, s.expectsJSON())
	if err != nil {
		return nil, s.problem("%v", err)
	}
	if len(set.files) == 0 {
		return nil, append(s.placed(set.problems), s.problem("holds no file descriptor that can be read")...).Sorted()
	}
	registry, problems := link(linkInput{
		source:   s.path,
		display:  s.display,
		files:    set.files,
		imported: set.imported,
		digest:   sha256.Sum256(data),
	})
	return registry, tolerated(registry, append(problems, s.placed(set.problems)...))
}

// expectsJSON reports whether the name promises JSON.
func (s descriptorSet) expectsJSON() bool {
	name := strings.TrimSuffix(filepath.Base(s.path), ".gz")
	return strings.HasSuffix(name, ".json")
}

// display names a file inside the set.
func (s descriptorSet) display(importPath string) string {
	return s.path + ":" + importPath
}

func (s descriptorSet) problem(format string, args ...any) Problems {
	return Problems{{File: s.path, Message: fmt.Sprintf(format, args...)}}
}

// placed names the set before the files of the problems.
func (s descriptorSet) placed(problems Problems) Problems {
	for i := range problems {
		if problems[i].File == "" {
			problems[i].File = s.path
		} else {
			problems[i].File = s.display(problems[i].File)
		}
	}
	return problems
}

// inflate undoes gzip, which its first bytes give away, to at most limit bytes.
func inflate(data []byte, limit int64) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return regularfile.ReadAll(reader, limit)
}

// parsedSet is the content of a descriptor set.
type parsedSet struct {
	files    []*descriptorpb.FileDescriptorProto
	imported []*descriptorpb.FileDescriptorProto // marked as such by buf
	problems Problems                            // of single files, by import path
}

// errNoSet is what a person gets who gives another file.
var errNoSet = errors.New("is no FileDescriptorSet and no buf image; " +
	"protoc --include_imports --include_source_info --descriptor_set_out=FILE or buf build -o FILE makes one")

// parseSet parses a set, whose form is binary unless it is JSON by name or
// by its looks.
func parseSet(ctx context.Context, data []byte, json bool) (parsedSet, error) {
	if json {
		return parseJSONSet(data)
	}
	raw, err := splitSet(data)
	if err == nil {
		return parseFiles(ctx, raw)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return parseJSONSet(data)
	}
	return parsedSet{}, err
}

// fileField is the number of the repeated file field in a FileDescriptorSet.
const fileField = 1

// splitSet cuts a binary set into its files without reading them, so that a
// malformed one costs only itself.
func splitSet(data []byte) ([][]byte, error) {
	var files [][]byte
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, fmt.Errorf("%w (%v)", errNoSet, plain(protowire.ParseError(n)))
		}
		data = data[n:]
		if number != fileField || kind != protowire.BytesType {
			n = protowire.ConsumeFieldValue(number, kind, data)
			if n < 0 {
				return nil, fmt.Errorf("%w (%v)", errNoSet, plain(protowire.ParseError(n)))
			}
			data = data[n:]
			continue
		}
		file, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return nil, fmt.Errorf("%w (%v)", errNoSet, plain(protowire.ParseError(n)))
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("holds more than %d files", maxFiles)
		}
		files = append(files, file)
		data = data[n:]
	}
	return files, nil
}

// parseFiles reads the files of a binary set, on all processors.
func parseFiles(ctx context.Context, raw [][]byte) (parsedSet, error) {
	files := make([]*descriptorpb.FileDescriptorProto, len(raw))
	failures := make([]error, len(raw))
	err := inParallel(ctx, len(raw), func(i int) error {
		files[i] = new(descriptorpb.FileDescriptorProto)
		failures[i] = unmarshalKnown(raw[i], files[i])
		return nil
	})
	if err != nil {
		return parsedSet{}, fmt.Errorf("could not be read to the end: %w", err)
	}
	collected := newSetCollector()
	for i, file := range files {
		if failures[i] != nil {
			collected.bad(file.GetName(), fmt.Sprintf("file %d of the set is malformed: %s", i+1, plain(failures[i])))
			continue
		}
		collected.add(file, markedImport(file))
	}
	return collected.set, nil
}

// setCollector gathers the files of a set and holds names apart.
type setCollector struct {
	set  parsedSet
	seen map[string]*descriptorpb.FileDescriptorProto
}

func newSetCollector() *setCollector {
	return &setCollector{seen: make(map[string]*descriptorpb.FileDescriptorProto)}
}

// add takes a file, the first of each name. Tools that concatenate sets repeat
// files: the same one again is no problem.
func (c *setCollector) add(file *descriptorpb.FileDescriptorProto, imported bool) {
	name := file.GetName()
	first, again := c.seen[name]
	switch {
	case name == "":
		c.bad("", "a file of the set has no name and is left out")
	case again && proto.Equal(first, file):
	case again:
		c.bad(name, "is in the set twice with different contents; the first one is taken")
	case imported:
		c.seen[name] = file
		c.set.imported = append(c.set.imported, file)
	default:
		c.seen[name] = file
		c.set.files = append(c.set.files, file)
	}
}

func (c *setCollector) bad(name, message string) {
	c.set.problems = append(c.set.problems, Problem{File: name, Message: message})
}

// The field that a buf image adds to a file, and its is_import field.
const (
	bufExtension = 8042
	bufIsImport  = 1
)

// markedImport reports whether buf marked a file as an import of the others. The
// mark is in a field that descriptor.proto does not have.
func markedImport(file *descriptorpb.FileDescriptorProto) bool {
	extension := lastField(file.ProtoReflect().GetUnknown(), bufExtension, protowire.BytesType)
	mark, n := protowire.ConsumeBytes(extension)
	if n < 0 {
		return false
	}
	value, n := protowire.ConsumeVarint(lastField(mark, bufIsImport, protowire.VarintType))
	return n > 0 && value != 0
}

// lastField returns the bytes of a message from the value of a field on, or nil.
func lastField(message []byte, number protowire.Number, kind protowire.Type) (value []byte) {
	for len(message) > 0 {
		got, gotKind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return value
		}
		message = message[n:]
		if got == number && gotKind == kind {
			value = message
		}
		if n = protowire.ConsumeFieldValue(got, gotKind, message); n < 0 {
			return value
		}
		message = message[n:]
	}
	return value
}
