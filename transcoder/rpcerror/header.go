package rpcerror

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The headers, and trailers, in which gRPC has a status.
const (
	StatusHeader  = "Grpc-Status"
	MessageHeader = "Grpc-Message"
	DetailsHeader = "Grpc-Status-Details-Bin"
)

// statusValues are header values of the usual codes, by code, so that they are
// not allocated.
var statusValues = func() (values [codes.Unauthenticated + 1][]string) {
	for i := range values {
		values[i] = []string{strconv.Itoa(i)}
	}
	return values
}()

// StatusValue is a code as a header value. Codes above 16 pass as they are
// (Semantics 55).
func StatusValue(code codes.Code) []string {
	if int(code) < len(statusValues) {
		return statusValues[code]
	}
	return []string{strconv.FormatUint(uint64(code), 10)}
}

// SetStatus writes a status into a header.
func SetStatus(h http.Header, st *status.Status) {
	h[StatusHeader] = StatusValue(st.Code())
	if message := st.Message(); message != "" {
		h[MessageHeader] = []string{EncodeMessage(message)}
	}
	if details := StatusDetails(st); details != "" {
		h[DetailsHeader] = []string{details}
	}
}

// StatusDetails is grpc-status-details-bin, "" for a status without details.
func StatusDetails(st *status.Status) string {
	if st.Code() == codes.OK {
		return ""
	}
	message := st.Proto()
	if len(message.GetDetails()) == 0 {
		return ""
	}
	wire, err := proto.Marshal(message)
	if err != nil { // the message is no UTF-8: send what can be said
		message.Message = ValidUTF8(message.GetMessage())
		if wire, err = proto.Marshal(message); err != nil {
			return ""
		}
	}
	return base64.RawStdEncoding.EncodeToString(wire)
}

// EncodeMessage percent-encodes a grpc-message: all but printable ASCII, and
// the percent sign itself.
func EncodeMessage(message string) string {
	plain := 0
	for plain < len(message) && plainInMessage(message[plain]) {
		plain++
	}
	if plain == len(message) {
		return message
	}
	const hexadecimal = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(message) + 16)
	for i := range len(message) {
		if c := message[i]; plainInMessage(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexadecimal[c>>4])
			b.WriteByte(hexadecimal[c&15])
		}
	}
	return b.String()
}

func plainInMessage(c byte) bool { return c >= ' ' && c <= '~' && c != '%' }
