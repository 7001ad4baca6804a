package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// packageLine finds the package statement of a text.
var packageLine = regexp.MustCompile(`(?m)^\s*package\s+([\w.]+)\s*;`)

// vendored returns the import path of the built-in file that a file is a copy of,
// as third_party/google/api/http.proto is of google/api/http.proto; empty for
// none. A file that stands at the path of the built-in one itself replaces it.
func vendored(rel, text string) string {
	for rest := rel; ; {
		_, below, ok := strings.Cut(rest, "/")
		if !ok {
			return ""
		}
		rest = below
		known := wellKnownFile(rest)
		if known == nil {
			continue
		}
		found := packageLine.FindStringSubmatch(text)
		if found != nil && found[1] == string(known.Package()) {
			return rest
		}
	}
}

// forward is the text of a file that stands for another one.
func forward(importPath string) string {
	return fmt.Sprintf("syntax = \"proto3\"; import public %q;\n", importPath)
}
