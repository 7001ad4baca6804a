package field

import (
	"net/http"
	"strconv"
	"strings"
)

// First returns the first value of a canonical header name.
func First(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// HasToken reports whether a comma-separated header has the item, in any case.
func HasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// AcceptItem splits one item of an Accept header into its media type and its
// weight.
func AcceptItem(item string) (media string, q float64) {
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

// Accepts reports whether an Accept header names a media type, in lower case, itself.
func Accepts(lines []string, media string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if len(item) < len(media) {
				continue
			}
			if accepted, q := AcceptItem(item); accepted == media && q > 0 {
				return true
			}
		}
	}
	return false
}

// AddVary adds a name to Vary, once.
func AddVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.EqualFold(item, name) {
				return
			}
		}
	}
	lines := h["Vary"]
	if lines == nil {
		lines = make([]string, 0, 2) // one seldom comes alone
	}
	h["Vary"] = append(lines, name)
}

// AddVaryMetadata adds the name of a header that clients may also send as metadata, under another name: caches
// on the way know nothing of that.
func AddVaryMetadata(h http.Header, name string) {
	AddVary(h, name)
	if prefixed := MetadataHeader(name); prefixed != "" {
		AddVary(h, prefixed)
	}
}

// MetadataHeader is the header by which clients of REST and Connect say metadata of a name that has no header of
// its own; "" for what crosses under its own name alone.
func MetadataHeader(name string) string {
	folded := Fold(name)
	if folded == "*" || folded == "accept-encoding" || Reserved(folded) || HopByHop(folded) || Protocol(folded) {
		return ""
	}
	return MetadataPrefix + name
}

// MetadataPrefix marks request headers that cross without it, as in grpc-gateway.
const MetadataPrefix = "Grpc-Metadata-"
