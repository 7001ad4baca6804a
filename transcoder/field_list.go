package transcoder

import (
	"net/http"
	"strconv"
	"strings"
)

// first returns the first value of a canonical header name.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// hasToken reports whether a comma-separated header has the item, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// acceptItem splits one item of an Accept header into its media type and its
// weight.
func acceptItem(item string) (media string, q float64) {
	media, parameters, _ := strings.Cut(item, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	q = 1
	for p := range strings.SplitSeq(parameters, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			parsed, err := strconv.ParseFloat(v, 64)
			if err != nil || !(parsed >= 0 && parsed <= 1) {
				return media, 0
			}
			q = parsed
		}
	}
	return media, q
}

// addVary adds a name to Vary, once.
func addVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.EqualFold(item, name) {
				return
			}
		}
	}
	h["Vary"] = append(h["Vary"], name)
}
