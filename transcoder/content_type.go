package transcoder

import (
	"mime"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// Content types.
const (
	ContentTypeJSON   = "application/json"
	contentTypeForm   = "application/x-www-form-urlencoded"
	ContentTypeBinary = "application/octet-stream"
)

// JSONHeader is the header value of JSON, which is set again and again.
var JSONHeader = []string{ContentTypeJSON}

// SetContentType sets a Content-Type.
func SetContentType(h http.Header, contentType string) {
	if contentType == ContentTypeJSON {
		h["Content-Type"] = JSONHeader
		return
	}
	h["Content-Type"] = []string{contentType}
}

// ContentType returns a message's Content-Type with its media type in lower case,
// in which types are compared (Semantics 326). What a parameter says stays as it is.
func ContentType(h http.Header) string {
	v := field.First(h, "Content-Type")
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
	v := ContentType(h)
	if i := strings.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSpace(v)
}

// IsForm reports whether the body is what a page's form sends.
func IsForm(h http.Header) bool { return mediaType(h) == contentTypeForm }

// BodyFormat is how a request's body is written.
type BodyFormat uint8

// The formats.
const (
	FormatJSON BodyFormat = iota
	FormatForm
	FormatProto
	formatUnknown
)

// FormatOf reads a Content-Type (Semantics 22). None is JSON.
func FormatOf(h http.Header) (BodyFormat, error) {
	v := ContentType(h)
	if v == "" || v == ContentTypeJSON {
		return FormatJSON, nil
	}
	media, _, err := mime.ParseMediaType(v)
	if err != nil && media == "" {
		return formatUnknown, rpcerror.New(http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"Content-Type %q: %v", rpcerror.Clip(v), err)
	}
	switch {
	case media == ContentTypeJSON, strings.HasSuffix(media, "+json"):
		return FormatJSON, nil
	case media == contentTypeForm:
		return FormatForm, nil
	case isProtoType(media):
		return FormatProto, nil
	}
	return formatUnknown, rpcerror.New(http.StatusUnsupportedMediaType, codes.InvalidArgument,
		"Content-Type %q: expected application/json, %s or application/x-protobuf", rpcerror.Clip(v), contentTypeForm)
}

func isProtoType(media string) bool {
	return media == "application/x-protobuf" || media == "application/proto" || media == "application/protobuf"
}

// wantsBinary reports whether the client prefers the message in wire format, and
// under which name.
func wantsBinary(h http.Header) (bool, string) {
	accept := h["Accept"]
	if len(accept) == 0 || accept[0] == "*/*" {
		if v := ContentType(h); len(v) > len("application/p") && isProtoType(v) {
			return true, v
		}
		return false, ""
	}
	best, name := 0.0, ""
	other := 0.0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			media, q := field.AcceptItem(item)
			switch {
			case isProtoType(media):
				if q > best {
					best, name = q, media
				}
			case media == ContentTypeJSON || media == "application/*" || media == "*/*":
				other = max(other, q)
			}
		}
	}
	return best > 0 && best >= other, name
}
