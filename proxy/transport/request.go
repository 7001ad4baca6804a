package transport

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// headers appends the HEADERS frame of a call, and the CONTINUATIONs that
// a long one needs.
func (w *writer) headers(id uint32, r *Request, o *Options, timeout string) {
	w.block.Reset()
	w.sent++
	w.encode(":method", "POST", true)
	w.encode(":scheme", o.Scheme, true)
	w.encode(":path", r.Method, true)
	w.encode(":authority", o.Authority, true)
	w.encode("content-type", "application/grpc", true)
	w.encode("user-agent", o.UserAgent, true)
	w.encode("te", "trailers", true)
	if timeout != "" {
		w.encode("grpc-timeout", timeout, false)
	}
	for i := 0; i+1 < len(r.Header); i += 2 {
		name, value := r.Header[i], r.Header[i+1]
		if Owned(name) {
			continue
		}
		if strings.HasSuffix(name, "-bin") {
			value = base64.RawStdEncoding.EncodeToString([]byte(value))
		}
		value = strings.Trim(value, " ") // RFC 9113, 8.2.1
		w.encode(name, value, false)
	}
	kind, flags := http2.FrameHeaders, http2.Flags(0)
	for block := w.block.Bytes(); ; kind = http2.FrameContinuation {
		n := min(len(block), w.maxFrame)
		if n == len(block) {
			flags |= http2.FlagHeadersEndHeaders
		}
		w.frame(kind, flags, id, n)
		w.append(block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return
		}
	}
}

// encode appends a field to the block. Only what is the same in all calls is
// remembered by both sides: what is unlike in each call, or a secret, has no use
// or no business in the table.
func (w *writer) encode(name, value string, constant bool) {
	field := hpack.HeaderField{Name: name, Value: value, Sensitive: !constant}
	_ = w.encoder.WriteField(field) // a bytes.Buffer takes all
}

// CheckMetadata refuses pairs of names and values that HTTP/2 or gRPC cannot carry, and
// returns their size as RFC 9113, 6.5.2 counts.
func CheckMetadata(header []string) (size int64, err error) {
	for i := 0; i+1 < len(header); i += 2 {
		name, value := header[i], header[i+1]
		if name == "" {
			return 0, status.Error(codes.Internal, "a metadata name is empty")
		}
		size += int64(len(name) + len(value) + 32)
		for j := range len(name) {
			if !nameByte[name[j]] {
				return 0, status.Errorf(codes.Internal, "the metadata name %.40q has the character %q; allowed are a-z, 0-9, _, - and .", name, name[j])
			}
		}
		if strings.HasSuffix(name, "-bin") {
			size += int64(len(value)/3 + 1)
			continue
		}
		for j := range len(value) {
			if value[j] < 0x20 || value[j] > 0x7e {
				return 0, status.Errorf(codes.Internal, "the metadata %.40q has a character in its value that is not printable ASCII", name)
			}
		}
	}
	return size, nil
}

// nameByte are the characters of a metadata name.
var nameByte = func() (t [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789_-." {
		t[c] = true
	}
	return t
}()

// Owned reports whether a metadata name belongs to gRPC or HTTP/2: it is the
// transport's to say. Of the fields of one connection these are those that HTTP/2 forbids
// (RFC 9113, 8.2.2), not all that a proxy leaves out: whoever calls by this package may
// say the others.
func Owned(name string) bool {
	switch name {
	case "content-type", "user-agent", "te",
		"grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout", "grpc-status-details-bin",
		"grpc-accept-encoding", "content-length", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host":
		return true
	}
	return false
}

// timeoutText is the value of grpc-timeout: at most eight digits and a unit.
func timeoutText(d time.Duration) string {
	var room [9]byte
	unit, n := byte('n'), int64(d)
	for _, next := range [...]struct {
		unit byte
		size time.Duration
	}{{'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour}} {
		if n < 1e8 {
			break
		}
		// Rounded up: the server must not give up before we do.
		unit, n = next.unit, int64((d-1)/next.size+1)
	}
	return string(append(strconv.AppendInt(room[:0], n, 10), unit))
}
