package transcoder

import (
	"net/textproto"
	"strings"
)

// connectionFields returns the fields that Connection headers name, by their canonical
// names: they are the connection's, as Connection itself is (RFC 9110, 7.6.1). It is
// nil where they say nothing but what is usual.
func connectionFields(lines []string) map[string]bool {
	var fields map[string]bool
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.Trim(item, " \t")
			switch {
			case item == "", strings.EqualFold(item, "close"), strings.EqualFold(item, "keep-alive"), strings.EqualFold(item, "upgrade"):
				continue
			case fields == nil:
				fields = map[string]bool{}
			}
			fields[textproto.CanonicalMIMEHeaderKey(item)] = true
		}
	}
	return fields
}
