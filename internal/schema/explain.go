package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// hints are the compiler's suggestions, in one line.
func hints(diagnostic *finding) string {
	var b strings.Builder
	for _, help := range diagnostic.Help() {
		if !strings.Contains(b.String(), help) {
			b.WriteString("; ")
			b.WriteString(help)
		}
	}
	return b.String()
}

// explanation is what the compiler writes under one place of an excerpt.
type explanation struct {
	file    string
	start   int // in bytes
	message string
	primary bool
	edits   bool
}

// explanations are those of each diagnostic. The report gives them out only in
// its protobuf form, whose type is internal to the compiler.
func explanations(found *findings) [][]explanation {
	message := found.ToProto().ProtoReflect()
	paths := listOf(message, "files")
	diagnostics := listOf(message, "diagnostics")
	all := make([][]explanation, len(found.Diagnostics))
	for i := range min(diagnostics.Len(), len(all)) {
		annotations := listOf(diagnostics.Get(i).Message(), "annotations")
		for j := range annotations.Len() {
			annotation := annotations.Get(j).Message()
			file := paths.Get(int(valueOf(annotation, "file").Uint())).Message()
			all[i] = append(all[i], explanation{
				file:    valueOf(file, "path").String(),
				start:   int(valueOf(annotation, "start").Uint()),
				message: valueOf(annotation, "message").String(),
				primary: valueOf(annotation, "primary").Bool(),
				edits:   listOf(annotation, "edits").Len() > 0,
			})
		}
	}
	return all
}

func listOf(message protoreflect.Message, field protoreflect.Name) protoreflect.List {
	return valueOf(message, field).List()
}

func valueOf(message protoreflect.Message, field protoreflect.Name) protoreflect.Value {
	return message.Get(message.Descriptor().Fields().ByName(field))
}

// explain adds what the compiler wrote under the place itself, and the other
// places that it points to.
func (d *diagnosis) explain(explained []explanation) string { return explain(d.byFile, explained) }

func explain(files map[string]*sourceFile, explained []explanation) string {
	var b strings.Builder
	for _, e := range explained {
		switch {
		case e.message == "" || e.edits:
		case e.primary:
			fmt.Fprintf(&b, ": %s", e.message)
		case files[e.file] != nil:
			at := files[e.file].Location(e.start, inRunes)
			fmt.Fprintf(&b, "; %s:%d:%d: %s", e.file, at.Line, at.Column, e.message)
		}
	}
	return b.String()
}
