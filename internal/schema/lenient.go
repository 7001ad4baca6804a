package schema

import (
	"regexp"
	"slices"
	"strings"
)

// This file makes up for what the compiler refuses and protoc accepts.

// The compiler's words for two fields of one JSON name.
const (
	jsonConflict = "message fields have the same JSON name"
	customName   = "specifies custom name here"
)

// downgrade takes from a report the errors that protoc only warns of, and returns
// them as warnings: a json_name that equals the default JSON name of another field,
// where the JSON format is a best effort only.
func downgrade(found *findings, opener *sourceOpener) Problems {
	isConflict := func(d finding) bool { return d.Message() == jsonConflict && d.Level() <= levelError }
	if !slices.ContainsFunc(found.Diagnostics, isConflict) {
		return nil
	}
	byFile := make(map[string]*sourceFile, len(opener.files))
	for _, file := range opener.files {
		byFile[file.Path()] = file
	}
	var warnings Problems
	var kept []finding
	explained := explanations(found)
	for i, d := range found.Diagnostics {
		at := d.Primary()
		if !isConflict(d) || at.IsZero() || !bestEffortJSON(at.File.Text()) || bothCustom(explained[i]) {
			kept = append(kept, d)
			continue
		}
		place := at.Location(at.Start, inRunes)
		warnings = append(warnings, Problem{
			File: d.File(), Line: place.Line, Column: place.Column, Warning: true,
			Message: d.Message() + explain(byFile, explained[i]),
		})
	}
	found.Diagnostics = kept
	return warnings
}

// bothCustom reports whether both fields name themselves, which protoc refuses.
func bothCustom(explained []explanation) bool {
	custom := 0
	for _, e := range explained {
		if strings.HasSuffix(e.message, customName) {
			custom++
		}
	}
	return custom > 1
}

// syntaxLine finds the statement that says which language a text is in.
var syntaxLine = regexp.MustCompile(`(?m)^\s*(?:/\*.*\*/\s*)?(syntax|edition)\s*=\s*["']([^"']*)["']`)

// bestEffortJSON reports whether a text is in proto2, or in an edition with the
// JSON format of proto2.
func bestEffortJSON(text string) bool {
	found := syntaxLine.FindStringSubmatch(text)
	if found == nil || found[2] == "proto2" {
		return true
	}
	return found[1] == "edition" && strings.Contains(text, "LEGACY_BEST_EFFORT")
}

// maxGroupPasses bounds how often texts are compiled again: each time the groups
// within groups of a literal are found one level deeper.
const maxGroupPasses = 8

// spellGroups returns the texts with the names of groups in literals of options as
// the compiler wants them, in lower case; protoc takes the group's own name. It is
// nil where there is none.
func (d *diagnosis) spellGroups(found *findings, texts []sourceText) []sourceText {
	edits := make(map[string][]byte) // by file
	for _, diagnostic := range found.Diagnostics {
		at := diagnostic.Primary()
		if !strings.HasPrefix(diagnostic.Message(), unknownField) || at.IsZero() {
			continue
		}
		message, name := quotedName(diagnostic.Message()), identifier(at.Text())
		if !d.index().isGroup(message, name) {
			continue
		}
		file := at.Path()
		if edits[file] == nil {
			edits[file] = []byte(at.File.Text())
		}
		start := at.Start + strings.Index(at.Text(), name)
		copy(edits[file][start:], strings.ToLower(name))
	}
	if len(edits) == 0 {
		return nil
	}
	again := slices.Clone(texts)
	for i := range again {
		if edited, ok := edits[again[i].file]; ok {
			again[i].text = string(edited)
		}
	}
	return again
}

// isGroup reports whether a message has a group of that name: a message within it,
// and a field of the name in lower case.
func (x *symbolIndex) isGroup(message, name string) bool {
	lower := strings.ToLower(name)
	return name != "" && lower != name && x.files[message+"."+name] != "" && slices.Contains(x.messages[message], lower)
}
