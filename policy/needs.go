package policy

import (
	"slices"
	"strings"
)

// Undecided reports for which fields of policies nothing can be said while the
// configuration is wrong at some paths, for their Kinds need what stands there. It is
// for Environment.Suppress.
func Undecided(kinds []Kind, wrong []string) func(path string) bool {
	var fields []string
	for _, k := range kinds {
		for _, need := range k.Needs {
			if slices.ContainsFunc(wrong, func(path string) bool { return touches(withoutIndices(path), need.Config) }) {
				fields = append(fields, need.Field)
			}
		}
	}
	return func(path string) bool { return slices.Contains(fields, withoutIndices(path)) }
}

// touches reports whether what is wrong at a path leaves a part of the configuration
// unknown: one of the two is within the other.
func touches(path, part string) bool {
	return path == part || strings.HasPrefix(path, part+".") || strings.HasPrefix(part, path+".")
}

// withoutIndices takes "[0]" out of a path.
func withoutIndices(path string) string {
	for {
		before, rest, found := strings.Cut(path, "[")
		if !found {
			return path
		}
		_, after, _ := strings.Cut(rest, "]")
		path = before + after
	}
}
