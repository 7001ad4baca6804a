package field

import (
	"slices"
	"strings"
)

// WithoutCookies takes cookies out of a value of the header Cookie. The value
// comes back as it is where it has none of them.
func WithoutCookies(value string, names []string) string {
	if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(value, name) }) {
		return value
	}
	var kept []string
	for pair := range strings.SplitSeq(value, ";") {
		// A server may take white space off the name, or any before "=" for its end.
		name, _, _ := strings.Cut(pair, "=")
		if !slices.Contains(names, strings.TrimSpace(name)) {
			kept = append(kept, strings.TrimSpace(pair))
		}
	}
	return strings.Join(kept, "; ")
}

// HasOtherCookies reports whether values of the header Cookie may hold a cookie of another
// name than those. It takes no memory.
func HasOtherCookies(lines, names []string) bool {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			if name = strings.TrimSpace(name); (name != "" || strings.Contains(pair, "=")) && !slices.Contains(names, name) {
				return true
			}
		}
	}
	return false
}
