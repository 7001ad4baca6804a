package transcoder

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of google.api.HttpBody.
const (
	httpBodyContentType protowire.Number = 1
	httpBodyData        protowire.Number = 2
)

// HTTPBody is a google.api.HttpBody; it points into the message it was read of.
type HTTPBody struct {
	contentType string
	Data        []byte
}

// ContentTypeOrDefault is the content type, that of bytes where the message has none.
func (b HTTPBody) ContentTypeOrDefault() string {
	if b.contentType == "" {
		return ContentTypeBinary
	}
	return b.contentType
}

// ParseHTTPBody reads a google.api.HttpBody of the backend.
func ParseHTTPBody(wire []byte) (HTTPBody, error) {
	var b HTTPBody
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return b, brokenHTTPBody(n)
		}
		wire = wire[n:]
		if kind == protowire.BytesType && (number == httpBodyContentType || number == httpBodyData) {
			value, n := protowire.ConsumeBytes(wire)
			if n < 0 {
				return b, brokenHTTPBody(n)
			}
			wire = wire[n:]
			if number == httpBodyData {
				b.Data = value
			} else {
				b.contentType = headerValue(value)
			}
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, wire); n < 0 {
			return b, brokenHTTPBody(n)
		}
		wire = wire[n:]
	}
	return b, nil
}

func brokenHTTPBody(n int) error {
	return status.Errorf(codes.Internal, "the backend's answer is not a valid google.api.HttpBody: %v", protowire.ParseError(n))
}

// headerValue takes a content type that may stand in a header, "" otherwise.
func headerValue(v []byte) string {
	if s := string(v); Printable(s) {
		return s
	}
	return ""
}

// AppendHTTPBody writes a google.api.HttpBody.
func AppendHTTPBody(dst []byte, contentType string, data []byte) []byte {
	if contentType != "" {
		dst = protowire.AppendTag(dst, httpBodyContentType, protowire.BytesType)
		dst = protowire.AppendString(dst, contentType)
	}
	if len(data) > 0 {
		dst = protowire.AppendTag(dst, httpBodyData, protowire.BytesType)
		dst = protowire.AppendBytes(dst, data)
	}
	return dst
}
