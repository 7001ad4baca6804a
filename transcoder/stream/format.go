package stream

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// streamFormat is how the messages of a server stream are written
// (Semantics 33–35).
type streamFormat uint8

const (
	formatNDJSON streamFormat = iota
	formatSSE
	formatArray
	formatEnvelope // {"result": …} lines, as grpc-gateway writes them
	formatRaw      // google.api.HttpBody
)

// Content types of streams.
const (
	contentTypeSSE    = "text/event-stream"
	contentTypeNDJSON = "application/x-ndjson"
)

// acceptedStream picks the format by Accept; without a preference NDJSON.
func acceptedStream(h http.Header, s *transcoder.Settings) streamFormat {
	best, bestQ := formatNDJSON, -1.0
	for _, line := range h["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			media, q := field.AcceptItem(item)
			var f streamFormat
			switch media {
			case contentTypeSSE:
				f = formatSSE
			case contentTypeNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines":
				f = formatNDJSON
			case transcoder.ContentTypeJSON:
				f = formatArray
			default:
				continue
			}
			if q > bestQ && q > 0 {
				best, bestQ = f, q
			}
		}
	}
	if s.StreamEnvelope && best != formatSSE && (best == formatArray || bestQ < 0) {
		return formatEnvelope
	}
	if s.StreamArray && bestQ < 0 {
		return formatArray
	}
	return best
}

func (f streamFormat) contentType() string {
	switch f {
	case formatSSE:
		return contentTypeSSE
	case formatNDJSON:
		return contentTypeNDJSON
	case formatArray, formatEnvelope, formatRaw:
	}
	return transcoder.ContentTypeJSON
}

// protocolName is the format's name in logs and metrics.
func (f streamFormat) protocolName() string {
	switch f {
	case formatSSE:
		return "sse"
	case formatNDJSON, formatEnvelope:
		return "ndjson"
	case formatArray, formatRaw:
	}
	return "rest"
}

// appendOpen and appendClose write what stands around a message, the nth from
// 0.
func (f streamFormat) appendOpen(dst []byte, n int) []byte {
	switch f {
	case formatSSE:
		dst = append(dst, "id: "...)
		dst = strconv.AppendInt(dst, int64(n)+1, 10)
		dst = append(dst, "\ndata: "...)
	case formatArray:
		if n == 0 {
			return append(dst, '[')
		}
		dst = append(dst, ',')
	case formatEnvelope:
		dst = append(dst, `{"result":`...)
	case formatNDJSON, formatRaw:
	}
	return dst
}

func (f streamFormat) appendClose(dst []byte) []byte {
	switch f {
	case formatSSE:
		return append(dst, "\n\n"...)
	case formatNDJSON:
		return append(dst, '\n')
	case formatEnvelope:
		return append(dst, "}\n"...)
	case formatArray, formatRaw:
	}
	return dst
}

// lastEventEnd is the id of the event that ends a stream; an EventSource that
// comes back with it has seen the end (Semantics 35).
const lastEventEnd = "end"

// appendEnd writes the normal end of a stream of n messages.
func (f streamFormat) appendEnd(dst []byte, n int) []byte {
	switch f {
	case formatSSE:
		return append(dst, "id: "+lastEventEnd+"\nevent: end\ndata: {}\n\n"...)
	case formatArray:
		if n == 0 {
			dst = append(dst, '[')
		}
		return append(dst, ']')
	case formatNDJSON, formatEnvelope, formatRaw:
	}
	return dst
}

// appendError writes an error after the first message; false where the format
// has no place for one and the answer must be broken off.
func (f streamFormat) appendError(dst []byte, m *transcoder.Method, err error) ([]byte, bool) {
	st, _ := rpcerror.Of(err, m.Settings.Status)
	switch f {
	case formatSSE:
		var again interface{ RetryAfter() time.Duration }
		if errors.As(err, &again) { // for a stream that goes on elsewhere
			dst = append(dst, "retry: "...)
			dst = strconv.AppendInt(dst, again.RetryAfter().Milliseconds(), 10)
			dst = append(dst, '\n')
		}
		dst = append(dst, "event: error\ndata: "...)
		return append(rpcerror.AppendJSON(dst, m.Errors, st), "\n\n"...), true
	case formatNDJSON, formatEnvelope:
		dst = append(dst, `{"error":`...)
		return append(rpcerror.AppendJSON(dst, m.Errors, st), "}\n"...), true
	case formatArray, formatRaw:
	}
	return dst, false
}

// errStreamEnded answers an EventSource that reconnects after the end; 204 is
// how HTML tells it to stop.
var errStreamEnded = rpcerror.New(http.StatusNoContent, codes.OutOfRange, "the stream has ended")

// isNDJSON reports whether a Content-Type is one of the names of JSON lines.
func isNDJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch strings.TrimSpace(media) {
	case contentTypeNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}
