package http1head

import (
	"bytes"
	"fmt"
	"net/http"
)

// Bounds of what is kept of a head for the answer to a bad one, in bytes.
const (
	maxMethod = 16
	maxTarget = 128
	maxField  = 128
	// maxAuthority is the longest host, with its port, of a target that is a URL.
	maxAuthority = 262
)

// head is what is remembered of the head of a request.
type head struct {
	old     bool // HTTP/1.0
	hosts   int
	length  int64 // -1 for none said
	chunked bool
	upgrade bool
	// authority is the host of a target that is a URL; port what its scheme means
	// without one.
	authority kept[[maxAuthority]byte]
	port      string

	// For the answer to a bad one.
	method      kept[[maxMethod]byte]
	target      kept[[maxTarget]byte]
	contentType kept[[maxField]byte]
	requestID   kept[[maxField]byte]
	connect     kept[[maxMethod]byte]
}

// kept is the beginning of a text.
type kept[A [maxMethod]byte | [maxTarget]byte | [maxAuthority]byte] struct {
	n     int
	bytes A
}

// begin forgets the head before.
func (h *head) begin() {
	h.old, h.hosts, h.length, h.chunked, h.upgrade = false, 0, -1, false, false
	h.method.n, h.target.n, h.contentType.n, h.requestID.n, h.connect.n, h.authority.n = 0, 0, 0, 0, 0, 0
}

// requestLine checks "METHOD TARGET HTTP/1.1".
func (h *head) requestLine(line []byte) *Fault {
	if !validValue(line) || bytes.IndexByte(line, '\t') >= 0 {
		return bad("the request line has a control character: %s", quoted(line))
	}
	end := bytes.IndexByte(line, ' ')
	last := bytes.LastIndexByte(line, ' ')
	if end <= 0 || end == last {
		return bad("the request line is %s; expected METHOD TARGET HTTP/1.1", quoted(line))
	}
	method, target, version := line[:end], line[end+1:last], line[last+1:]
	if !ValidToken(method) {
		return bad("the method is %s; expected letters", quoted(method))
	}
	h.method.n = copy(h.method.bytes[:], method)
	h.target.n = copy(h.target.bytes[:], target)
	if fault := h.version(version); fault != nil {
		return fault
	}
	return h.checkTarget(method, target)
}

func (h *head) version(v []byte) *Fault {
	switch string(v) {
	case "HTTP/1.1":
		return nil
	case "HTTP/1.0":
		h.old = true
		return nil
	}
	if len(v) == len("HTTP/1.1") && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7]) {
		return &Fault{http.StatusHTTPVersionNotSupported, fmt.Sprintf("the version is %s; expected HTTP/1.1", v)}
	}
	return bad("the version is %s; expected HTTP/1.1", quoted(v))
}

// field checks one line of the head's fields.
func (h *head) field(line []byte) *Fault {
	name, value, fault := split(line)
	if fault != nil {
		return fault
	}
	switch len(name) {
	case 4:
		if fold(name, "host") {
			return h.host(value)
		}
	case 6:
		if fold(name, "expect") && len(value) > 0 && !fold(value, "100-continue") {
			return &Fault{http.StatusExpectationFailed, "Expect is " + quoted(value) + "; the gateway knows 100-continue"}
		}
	case 7:
		if fold(name, "upgrade") {
			h.upgrade = len(value) > 0
		} else if fold(name, "trailer") {
			return checkTrailerNames(value)
		}
	case 14:
		if fold(name, "content-length") {
			return h.contentLength(value)
		}
	case 17:
		if fold(name, "transfer-encoding") {
			return h.transferEncoding(value)
		}
	default:
		h.keep(name, value)
	}
	return nil
}

// keep keeps what says in what form a bad head is answered.
func (h *head) keep(name, value []byte) {
	switch len(name) {
	case 12:
		if fold(name, "content-type") {
			h.contentType.n = copy(h.contentType.bytes[:], value)
		} else if fold(name, "x-request-id") && len(value) <= maxField {
			h.requestID.n = copy(h.requestID.bytes[:], value)
		}
	case 24:
		if fold(name, "connect-protocol-version") {
			h.connect.n = copy(h.connect.bytes[:], value)
		}
	}
}

func (h *head) host(value []byte) *Fault {
	if h.hosts++; h.hosts > 1 {
		return bad("the header has more than one Host")
	}
	if len(value) > 0 && !ValidHost(value) {
		return bad("Host is %s; expected a host with or without a port", quoted(value))
	}
	if named := h.authority.bytes[:h.authority.n]; len(named) > 0 && !bytes.EqualFold(withoutPort(value, h.port), withoutPort(named, h.port)) {
		return bad("Host is %s, and the host of the request target %s; expected the same", quoted(value), quoted(named))
	}
	return nil
}

// withoutPort leaves out the port that a URL would not name either.
func withoutPort(host []byte, usual string) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(host, []byte(usual)), []byte{':'})
}

func (h *head) contentLength(value []byte) *Fault {
	switch {
	case h.length >= 0:
		return bad("the header has more than one Content-Length")
	case h.chunked:
		return errBothFramings
	case len(value) == 0:
		return bad("Content-Length is empty; expected a number")
	}
	n := int64(0)
	for _, c := range value {
		if !isDigit(c) {
			return bad("Content-Length is %s; expected a number", quoted(value))
		}
		if n > (1<<63-1-9)/10 {
			return bad("Content-Length is %s, more than can be", quoted(value))
		}
		n = n*10 + int64(c-'0')
	}
	h.length = n
	return nil
}

var errBothFramings = bad("the header has Content-Length and Transfer-Encoding; expected one of them")

func (h *head) transferEncoding(value []byte) *Fault {
	switch {
	case h.old:
		return bad("HTTP/1.0 has no Transfer-Encoding; expected Content-Length")
	case h.length >= 0:
		return errBothFramings
	case h.chunked:
		return bad("the header has more than one Transfer-Encoding")
	case !fold(value, "chunked"):
		if comma := bytes.LastIndexByte(value, ','); comma > 0 && fold(bytes.Trim(value[comma:], ", \t"), "chunked") &&
			!bytes.Contains(bytes.ToLower(value[:comma]), []byte("chunked")) {
			return &Fault{http.StatusNotImplemented, "Transfer-Encoding is " + quoted(value) + "; the gateway knows chunked alone, and Content-Encoding for compression"}
		}
		return bad("Transfer-Encoding is %s; expected chunked", quoted(value))
	}
	h.chunked = true
	return nil
}

// whole checks what can be seen at the head's end alone.
func (h *head) whole() *Fault {
	if h.hosts == 0 && !h.old {
		return bad("the header has no Host")
	}
	return nil
}

// checkTrailerNames refuses to have announced as a trailer what frames a request.
func checkTrailerNames(value []byte) *Fault {
	for len(value) > 0 {
		var name []byte
		name, value, _ = bytes.Cut(value, []byte{','})
		if name = bytes.Trim(name, " \t"); isFraming(name) {
			return bad("Trailer names %s, which cannot be one", quoted(name))
		}
	}
	return nil
}

// trailerField checks one line of trailers.
func trailerField(line []byte) *Fault {
	name, _, fault := split(line)
	if fault == nil && isFraming(name) {
		return bad("the trailers have the field %s, which cannot be one", quoted(name))
	}
	return fault
}

func isFraming(name []byte) bool {
	switch len(name) {
	case 4:
		return fold(name, "host")
	case 7:
		return fold(name, "trailer")
	case 14:
		return fold(name, "content-length")
	case 17:
		return fold(name, "transfer-encoding")
	}
	return false
}

// glean looks for what says in what form to answer in the rest of a bad head.
func (s *Scanner) glean(rest []byte) {
	if s.state != atFields {
		return
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			return
		}
		if name, value, fault := split(line); fault == nil {
			s.head.keep(name, value)
		}
	}
}

// Refusal describes the request whose head has a fault.
func (s *Scanner) Refusal(f *Fault) Refusal {
	h := &s.head
	if s.state < atFields {
		h.begin()
	}
	return Refusal{
		Fault: *f, Method: string(h.method.bytes[:h.method.n]), Target: string(h.target.bytes[:h.target.n]),
		ContentType: string(h.contentType.bytes[:h.contentType.n]), RequestID: string(h.requestID.bytes[:h.requestID.n]),
		Connect: string(h.connect.bytes[:h.connect.n]),
	}
}
