package transport

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
)

// fields is one header block of the server while it is read: what gRPC defines
// is picked out, the rest is metadata.
type fields struct {
	id      uint32 // the stream's
	ends    bool   // it is the last of the stream
	size    int    // as RFC 9113, 6.5.2 counts
	block   int    // bytes of the block that have come, with their frames' heads
	trouble string // what is wrong with it; empty: nothing

	status      string // :status
	contentType string
	encoding    string // grpc-encoding
	grpcStatus  string
	message     string // grpc-message, as it came
	details     string // grpc-status-details-bin, as it came
	metadata    metadata.MD
}

// begin starts a block.
func (f *fields) begin(id uint32, ends bool) { *f = fields{id: id, ends: ends} }

// add takes one field; the decoder of header blocks calls it.
func (f *fields) add(field hpack.HeaderField) {
	if f.size += int(field.Size()); f.size > maxHeaderList {
		f.trouble = "the backend's metadata is larger than 1 MiB"
		f.metadata = nil
		return
	}
	switch field.Name {
	case ":status":
		f.status = field.Value
	case "content-type":
		f.contentType = field.Value
	case "grpc-encoding":
		f.encoding = field.Value
	case "grpc-status":
		f.grpcStatus = field.Value
	case "grpc-message":
		f.message = field.Value
	case "grpc-status-details-bin":
		f.details = field.Value
	case "grpc-accept-encoding", "grpc-timeout", "grpc-message-type", "te", "user-agent":
		// gRPC's own; nothing that a client is told
	default:
		f.addMetadata(field.Name, field.Value)
	}
}

func (f *fields) addMetadata(name, value string) {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || strings.ToLower(name) != name {
		// Pseudo-headers too, and what would be two lines over HTTP/1.
		f.trouble = fmt.Sprintf("the backend sent the header %.40q with a character that no header may have", name)
		return
	}
	if f.metadata == nil {
		f.metadata = metadata.MD{}
	}
	if !strings.HasSuffix(name, "-bin") {
		f.metadata[name] = append(f.metadata[name], value)
		return
	}
	for one := range strings.SplitSeq(value, ",") {
		raw, err := decodeBinary(one)
		if err != nil {
			f.trouble = "the backend sent the metadata " + strconv.Quote(name) + " that is no base64"
			return
		}
		f.metadata[name] = append(f.metadata[name], raw)
	}
}

// decodeBinary decodes base64, padded or not.
func decodeBinary(value string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	return string(raw), err
}

// interim reports whether a block is an interim response (RFC 9110, 15.2).
func (f *fields) interim() bool {
	return f.trouble == "" && len(f.status) == 3 && f.status[0] == '1' && !f.ends
}

// isGRPC reports whether an answer is one of gRPC at all, with messages in wire
// format: "+proto" and names of a server's own are taken for it, "+json" is not.
func (f *fields) isGRPC() bool {
	rest, ok := strings.CutPrefix(f.contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == ';' || rest[0] == '+' && !strings.HasPrefix(rest, "+json"))
}
