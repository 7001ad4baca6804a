package transcoder

import (
	"mime"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
)

const (
	contentTypeJSON   = "application/json"
	contentTypeForm   = "application/x-www-form-urlencoded"
	contentTypeBinary = "application/octet-stream"
)

// Header values that are set again and again, so that they are not allocated.
var jsonHeader = []string{contentTypeJSON}

func setContentType(h http.Header, contentType string) {
	if contentType == contentTypeJSON {
		h["Content-Type"] = jsonHeader
		return
	}
	h["Content-Type"] = []string{contentType}
}

// contentType returns a message's Content-Type with its media type in lower case,
// in which types are compared (Semantics 326). What a parameter says stays as it is.
func contentType(h http.Header) string {
	v := first(h, "Content-Type")
	for i := 0; i < len(v) && v[i] != ';'; i++ {
		if v[i] >= 'A' && v[i] <= 'Z' {
			media, _, _ := strings.Cut(v, ";")
			return strings.ToLower(media) + v[len(media):]
		}
	}
	return v
}

// mediaType returns the type alone, in lower case.
func mediaType(h http.Header) string {
	v := contentType(h)
	if i := strings.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSpace(v)
}

// IsForm reports whether the body is what a page's form sends.
func IsForm(h http.Header) bool { return mediaType(h) == contentTypeForm }

// bodyFormat is how a request's body is written.
type bodyFormat uint8

const (
	formatJSON bodyFormat = iota
	formatForm
	formatProto
	formatUnknown
)

// formatOf reads a Content-Type (Semantics 22). None is JSON.
func formatOf(h http.Header) (bodyFormat, error) {
	v := contentType(h)
	if v == "" || v == contentTypeJSON {
		return formatJSON, nil
	}
	media, _, err := mime.ParseMediaType(v)
	if err != nil && media == "" {
		return formatUnknown, NewStatusError(http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"Content-Type %q: %v", clip(v), err)
	}
	switch {
	case media == contentTypeJSON, strings.HasSuffix(media, "+json"):
		return formatJSON, nil
	case media == contentTypeForm:
		return formatForm, nil
	case isProtoType(media):
		return formatProto, nil
	}
	return formatUnknown, NewStatusError(http.StatusUnsupportedMediaType, codes.InvalidArgument,
		"Content-Type %q: expected application/json, %s or application/x-protobuf", clip(v), contentTypeForm)
}

func isProtoType(media string) bool {
	return media == "application/x-protobuf" || media == "application/proto" || media == "application/protobuf"
}

// wantsBinary reports whether the client prefers the message in wire format, and
// under which name.
func wantsBinary(h http.Header) (bool, string) {
	accept := h["Accept"]
	if len(accept) == 0 || accept[0] == "*/*" {
		if v := contentType(h); len(v) > len("application/p") && isProtoType(v) {
			return true, v
		}
		return false, ""
	}
	best, name := 0.0, ""
	other := 0.0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			media, q := acceptItem(item)
			switch {
			case isProtoType(media):
				if q > best {
					best, name = q, media
				}
			case media == contentTypeJSON || media == "application/*" || media == "*/*":
				other = max(other, q)
			}
		}
	}
	return best > 0 && best >= other, name
}
