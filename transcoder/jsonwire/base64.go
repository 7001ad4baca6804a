package jsonwire

import "encoding/base64"

// appendBase64 appends bytes in the base64 that JSON holds.
func appendBase64(dst, b []byte) []byte { return base64.StdEncoding.AppendEncode(dst, b) }

// rawStd and rawURL are the two alphabets without padding.
var rawStd, rawURL = base64.RawStdEncoding, base64.RawURLEncoding

// appendBytes appends what s says in standard or URL base64, padded or not.
func appendBytes(dst, s []byte) ([]byte, bool) {
	encoding := base64.StdEncoding
	for _, c := range s {
		if c == '-' || c == '_' {
			encoding = base64.URLEncoding
			break
		}
	}
	if len(s)%4 != 0 {
		if encoding == base64.StdEncoding {
			encoding = rawStd
		} else {
			encoding = rawURL
		}
	}
	dst, err := encoding.AppendDecode(dst, s)
	return dst, err == nil
}
