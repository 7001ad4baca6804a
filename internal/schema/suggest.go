package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/nearest"
)

// symbolIndex knows which file declares a name.
type symbolIndex struct {
	files    map[string]string   // full name → import path
	names    []string            // the keys of files
	messages map[string][]string // full name of a message → names of its fields
}

func newSymbolIndex() *symbolIndex {
	return &symbolIndex{files: make(map[string]string), messages: make(map[string][]string)}
}

func (x *symbolIndex) add(name, file string) {
	if _, known := x.files[name]; !known {
		x.names = append(x.names, name)
	}
	x.files[name] = file
}

func (x *symbolIndex) addField(name string) {
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		x.messages[name[:dot]] = append(x.messages[name[:dot]], name[dot+1:])
	}
}

// fields are the names of the fields of a message, sorted; none if it is not
// known.
func (x *symbolIndex) fields(message string) []string {
	names := slices.Clone(x.messages[message])
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(message)); err == nil && len(names) == 0 {
		if known, ok := d.(protoreflect.MessageDescriptor); ok && isWellKnown(d.ParentFile().Path()) {
			for i := range known.Fields().Len() {
				names = append(names, string(known.Fields().Get(i).Name()))
			}
		}
	}
	slices.Sort(names)
	return names
}

// suggest says what may have been meant by a name, given as the full names that
// it may stand for, the last of them as it was written, in a file with the given
// imports.
func (x *symbolIndex) suggest(candidates []string, imported map[string]bool) string {
	if len(candidates) == 0 {
		return ""
	}
	for _, name := range candidates {
		if file := x.declaredIn(name); file != "" && !imported[file] {
			return fmt.Sprintf("; %q declares it: add an import of it", file)
		}
	}
	written := candidates[len(candidates)-1]
	if x.declaredIn(written) != "" {
		return fmt.Sprintf("; a package that this file is in or imports hides it: write `.%s`", written)
	}
	slices.Sort(x.names)
	wellKnown := wellKnownNames()
	near := cmp.Or(
		nearest.Of(x.names, candidates...),
		nearest.Of(wellKnown, written),
		sameLast(written, x.names),
		sameLast(written, wellKnown),
	)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean `%s`%s?", near, x.from(near, imported))
}

// from names the file to import for a name, if it is not imported.
func (x *symbolIndex) from(name string, imported map[string]bool) string {
	if file := x.declaredIn(name); file != "" && !imported[file] {
		return fmt.Sprintf(" of %q", file)
	}
	return ""
}

// sameLast is the first full name with the same last part.
func sameLast(name string, names []string) string {
	last := "." + name[strings.LastIndexByte(name, '.')+1:]
	for _, known := range names {
		if strings.HasSuffix(known, last) {
			return known
		}
	}
	return ""
}

// declaredIn is the import path of the file that declares a name, or empty.
func (x *symbolIndex) declaredIn(name string) string {
	if file, ok := x.files[name]; ok {
		return file
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil || !isWellKnown(d.ParentFile().Path()) {
		return ""
	}
	return d.ParentFile().Path()
}

// wellKnownNames are the messages, enums and extensions at the top level of the
// built-in files.
func wellKnownNames() []string {
	var names []string
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if isWellKnown(file.Path()) {
			for d := range topLevel(file) {
				names = append(names, string(d.FullName()))
			}
		}
		return true
	})
	slices.Sort(names)
	return names
}
