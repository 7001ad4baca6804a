package observe

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/trace"
)

// maxRequestID bounds what a client may have us write into every log line, in
// bytes.
const maxRequestID = 128

// RequestID returns what identifies a request in logs: the client's
// X-Request-Id if it is 1 to 128 printable ASCII characters without spaces,
// else the trace id of its traceparent, else 32 random hexadecimal digits. It
// makes no system call.
func RequestID(h http.Header) string {
	if v := h["X-Request-Id"]; len(v) == 1 && printable(v[0]) {
		return v[0]
	}
	if id := TraceID(h); id != "" {
		return id
	}
	return newRequestID()
}

// TraceID returns the trace id of a valid traceparent (W3C Trace Context), else
// "".
func TraceID(h http.Header) string {
	v := h["Traceparent"]
	if len(v) != 1 {
		return ""
	}
	return traceID(v[0])
}

// traceID reads "00-<32 hex>-<16 hex>-<2 hex>". Versions after 00 may say more
// behind it; ff is none. OpenTelemetry's propagator is not asked, as it makes a
// context of each header; its rules for the ids are.
func traceID(parent string) string {
	const length = 55
	if len(parent) < length || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return ""
	}
	version, id, span := parent[:2], parent[3:35], parent[36:52]
	if !hexadecimal(version) || version == "ff" || !hexadecimal(parent[53:55]) {
		return ""
	}
	if _, err := trace.TraceIDFromHex(id); err != nil {
		return ""
	}
	if _, err := trace.SpanIDFromHex(span); err != nil {
		return ""
	}
	if len(parent) > length && (version == "00" || parent[length] != '-') {
		return ""
	}
	return id
}

func printable(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// hexadecimal reports whether s is lower-case hexadecimal, as the standard wants
// it.
func hexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// newRequestID needs to be unique, not secret: the runtime's generator keeps
// its state by thread and takes no lock.
func newRequestID() string {
	var bits [16]byte
	binary.LittleEndian.PutUint64(bits[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(bits[8:], rand.Uint64())
	var id [2 * len(bits)]byte
	hex.Encode(id[:], bits[:])
	return string(id[:])
}
