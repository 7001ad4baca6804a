package server

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"
)

const (
	// shortBody is how long the body of a short answer is at most, and shortWire the whole of it: a stream of quic-go
	// takes 1,452 bytes without waiting, so that a client that reads nothing holds none of the gateway's goroutines.
	shortBody = 1 << 10
	shortWire = 1400

	// Types of frames (RFC 9114, section 7.2).
	dataFrame    = 0x00
	headersFrame = 0x01
	// headersStart is how long the type and the length of a HEADERS frame are, the latter in two bytes.
	headersStart = 3
)

// shortAnswer is an answer over HTTP/3 that is sent whole, by one write. quic-go itself writes the header, the start of the
// body's frame and the body one after the other, each of which may wake the goroutine that makes packets.
type shortAnswer struct {
	status int
	length int64 // that the header tells; -1 for none
	body   []byte

	wire   []byte // the frames
	fields *qpack.Encoder
}

var shortAnswers = sync.Pool{New: func() any {
	s := new(shortAnswer)
	s.fields = qpack.NewEncoder(s)
	return s
}}

// beginShort begins an answer that may be short; nil where quic-go is to write it.
func beginShort(status int, h http.Header) *shortAnswer {
	if status < http.StatusOK || status > 999 || status == http.StatusNoContent || status == http.StatusNotModified {
		return nil
	}
	length, ok := contentLength(h)
	if !ok || length > shortBody {
		return nil
	}
	s, ok := shortAnswers.Get().(*shortAnswer)
	if !ok {
		return nil // the pool holds nothing else
	}
	s.status, s.length, s.body = status, length, s.body[:0]
	return s
}

// recycle gives its memory to another answer.
func (s *shortAnswer) recycle() {
	if cap(s.wire) <= 4*shortWire { // a header may have been long
		shortAnswers.Put(s)
	}
}

// takes keeps a piece of the body, unless it becomes too long, or longer than it was told to be.
func (s *shortAnswer) takes(p []byte) bool {
	n := len(s.body) + len(p)
	if n > shortBody || s.length >= 0 && int64(n) > s.length {
		return false
	}
	s.body = append(s.body, p...)
	return true
}

// Write implements io.Writer, for qpack.
func (s *shortAnswer) Write(p []byte) (int, error) {
	s.wire = append(s.wire, p...)
	return len(p), nil
}

// encode makes the frames. It reports false where only quic-go knows how: for trailers, for a body whose type
// is to be guessed, and for an answer that is not short.
func (s *shortAnswer) encode(h http.Header) bool {
	if _, typed := h["Content-Type"]; !typed && len(s.body) > 0 {
		return false
	}
	s.wire = append(s.wire[:0], make([]byte, headersStart)...)
	_ = s.fields.Close() // which begins anew
	s.field(":status", strconv.Itoa(s.status))
	for name, values := range h {
		if strings.HasPrefix(name, "Trailer") { // or http.TrailerPrefix
			return false
		}
		name = lowerName(name)
		for _, value := range values {
			if s.field(name, value); len(s.wire) > shortWire {
				return false
			}
		}
	}
	if _, told := h["Content-Length"]; !told {
		s.field("content-length", strconv.Itoa(len(s.body)))
	}
	s.wire[0] = headersFrame
	_ = quicvarint.AppendWithLen(s.wire[:1], uint64(len(s.wire)-headersStart), headersStart-1) //nolint:gosec // it is longer; the room is there
	if len(s.body) > 0 {
		s.wire = append(s.wire, dataFrame)
		s.wire = quicvarint.Append(s.wire, uint64(len(s.body)))
		s.wire = append(s.wire, s.body...)
	}
	return len(s.wire) <= shortWire
}

// field encodes a field of the header.
func (s *shortAnswer) field(name, value string) {
	_ = s.fields.WriteField(qpack.HeaderField{Name: name, Value: value}) // it writes to s
}

// lowerNames are the names of fields that most answers have, as HTTP/3 writes them.
var lowerNames = map[string]string{}

func init() {
	for _, name := range []string{
		"Access-Control-Allow-Origin", "Cache-Control", "Cache-Status", "Content-Encoding", "Content-Length", "Content-Type", "Date",
		"Etag", "Grpc-Status", "Retry-After", "Server-Timing", "Traceparent", "Vary", "X-Request-Id",
	} {
		lowerNames[name] = strings.ToLower(name)
	}
}

// lowerName is a field's name as HTTP/3 writes it.
func lowerName(name string) string {
	if lower, ok := lowerNames[name]; ok {
		return lower
	}
	return strings.ToLower(name)
}
