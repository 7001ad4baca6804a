package field

import "strings"

// HasPrefixFold reports whether a name begins with a prefix, whatever the case of
// their letters.
func HasPrefixFold(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
