package envelope

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// connectGet is what the query of a Connect GET says.
type connectGet struct {
	encoding, compression string
	message               string // decoded of base64
}

// parseConnectGet reads the query. Parameters that it does not know are
// someone else's.
func parseConnectGet(raw string) (q connectGet, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, rpcerror.BadRequest("the query cannot be read: %v", err)
	}
	for _, name := range [...]string{"connect", "encoding", "compression", "message", "base64"} {
		if len(values[name]) > 1 {
			return q, rpcerror.BadRequest("query parameter %s stands there %d times; expected once", name, len(values[name]))
		}
	}
	if v := values.Get("connect"); v != "v1" {
		return q, rpcerror.BadRequest("query parameter connect %q: expected v1", rpcerror.Clip(v))
	}
	if !values.Has("message") {
		return q, rpcerror.BadRequest("query parameter message is missing")
	}
	q.encoding, q.compression, q.message = values.Get("encoding"), values.Get("compression"), values.Get("message")
	switch v := values.Get("base64"); v {
	case "", "0":
	case "1":
		if q.message, err = decodeURLBase64(q.message); err != nil {
			return q, rpcerror.BadRequest("query parameter message: expected URL-safe base64: %v", err)
		}
	default:
		return q, rpcerror.BadRequest("query parameter base64 %q: expected 1 or 0", rpcerror.Clip(v))
	}
	return q, nil
}

// decodeURLBase64 takes the URL-safe alphabet, padded or not.
func decodeURLBase64(s string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	return string(b), err
}

// isConnectGet reports whether a query has the parameter that marks Connect's GET.
func isConnectGet(query string) bool {
	const mark = "connect=v1"
	for rest := query; len(rest) >= len(mark); {
		i := strings.Index(rest, mark)
		if i < 0 {
			return false
		}
		after := i + len(mark)
		if (i == 0 || rest[i-1] == '&') && (after == len(rest) || rest[after] == '&') {
			return true
		}
		rest = rest[after:]
	}
	return false
}
