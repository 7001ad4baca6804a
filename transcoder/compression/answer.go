package compression

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
)

// Rule says which answers of plain HTTP servers are compressed on their way (Traffic 161).
type Rule struct {
	types    []string // in lower case, without parameters
	families []string // such as "text/"
	min      int
}

// Usual are the media types that are worth compressing. Images, films and archives are
// compressed by their format.
var Usual = []string{
	"text/*", "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson", "application/yaml",
	"application/x-javascript", "application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/bmp", "image/x-icon",
}

// NewRule makes the rule by which answers of some media types, such as "application/json" and
// "text/*", are compressed that are not known to have fewer than min bytes. No types: Usual,
// and what ends with +json or +xml. 0 bytes: MinSize.
func NewRule(types []string, least int) *Rule {
	r := &Rule{min: least}
	if r.min == 0 {
		r.min = MinSize
	}
	if len(types) == 0 {
		types = append(slices.Clone(Usual), "+json", "+xml")
	}
	for _, t := range types {
		if family, ok := strings.CutSuffix(t, "*"); ok {
			r.families = append(r.families, strings.ToLower(family))
		} else {
			r.types = append(r.types, strings.ToLower(t))
		}
	}
	return r
}

// String describes the rule to people.
func (r *Rule) String() string {
	var all []string
	for _, f := range r.families {
		all = append(all, f+"*")
	}
	for _, t := range r.types {
		if t[0] == '+' {
			t = "*/*" + t
		}
		all = append(all, t)
	}
	return strings.Join(all, ", ") + " from " + strconv.Itoa(r.min) + " bytes"
}

// isWorth reports whether a media type is one that is compressed.
func (r *Rule) isWorth(contentType string) bool {
	text, _, _ := strings.Cut(contentType, ";")
	text = strings.ToLower(strings.Trim(text, " \t"))
	if text == "text/event-stream" || strings.HasPrefix(text, "application/grpc") || strings.HasPrefix(text, "application/connect+") {
		return false // each event is read as it comes; messages have a compression of their own
	}
	if slices.Contains(r.types, text) || slices.ContainsFunc(r.families, func(f string) bool { return strings.HasPrefix(text, f) }) {
		return true
	}
	plus := strings.LastIndexByte(text, '+')
	return plus >= 0 && slices.Contains(r.types, text[plus:])
}

// Front is where answers go.
type Front interface {
	http.ResponseWriter
	// FlushError sends the client what was written.
	FlushError() error
}

// Answer is where one answer is written. It is compressed if the rule, the request and its own
// header allow; else it passes as it is. As far as that takes its length, and nobody says it, the
// answer is held back until it has enough bytes, is flushed, or ends.
type Answer struct {
	Front
	rule     *Rule
	request  *http.Request
	encoding *Encoding // nil for none that the client takes
	status   int       // of an answer that is held back; 0 for none
	held     []byte
	z        Writer // nil: what is written passes
}

// Answer begins an answer that is written to w. End must be called when it is written.
func (r *Rule) Answer(w Front, request *http.Request) *Answer {
	return &Answer{Front: w, rule: r, request: request, encoding: Accepted(request.Header)}
}

// Unwrap gives the adapter of net/http what else the writer can do.
func (a *Answer) Unwrap() http.ResponseWriter { return a.Front }

// WriteHeader implements http.ResponseWriter.
func (a *Answer) WriteHeader(status int) {
	h := a.Header()
	switch {
	case status == http.StatusNotModified:
		a.notModified(h)
	case status < http.StatusOK || !a.mayBe(status, h):
	default:
		field.AddVary(h, "Accept-Encoding")
		length, known := lengthOf(h)
		if a.encoding == nil || known && length < int64(a.rule.min) {
			break
		}
		if known || a.request.Method == http.MethodHead {
			a.begin(status)
			return
		}
		a.status = status
		return
	}
	a.Front.WriteHeader(status)
}

// mayBe reports whether an answer would be compressed for a client that takes it, if it is
// large enough.
func (a *Answer) mayBe(status int, h http.Header) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return false
	}
	for _, name := range [...]string{"Content-Encoding", "Content-Range", "Trailer", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		if len(h[name]) > 0 {
			return false // it is compressed, is a part, or says what is to come, byte by byte
		}
	}
	if field.HasToken(h["Cache-Control"], "no-transform") || field.HasToken(a.request.Header["Cache-Control"], "no-transform") {
		return false
	}
	types := h["Content-Type"]
	return len(types) == 1 && a.rule.isWorth(types[0])
}

// lengthOf is what Content-Length says.
func lengthOf(h http.Header) (length int64, known bool) {
	said := h["Content-Length"]
	if len(said) != 1 {
		return 0, false
	}
	length, err := strconv.ParseInt(said[0], 10, 64)
	return length, err == nil
}

// begin writes the header of an answer that is compressed.
func (a *Answer) begin(status int) {
	h := a.Header()
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges") // of what is compressed there are none
	h["Content-Encoding"] = a.encoding.Header
	if tag := h["Etag"]; len(tag) == 1 {
		h["Etag"] = []string{weak(tag[0])}
	}
	a.status = 0
	a.Front.WriteHeader(status)
	if a.request.Method != http.MethodHead {
		a.z = a.encoding.Writer(a.Front)
	}
}

// Write implements io.Writer.
func (a *Answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		return a.pass(p)
	}
	if a.held = append(a.held, p...); len(a.held) >= a.rule.min {
		if err := a.release(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// pass writes what is not held back.
func (a *Answer) pass(p []byte) (int, error) {
	if a.z != nil {
		return a.z.Write(p)
	}
	return a.Front.Write(p)
}

// release compresses an answer that was held back.
func (a *Answer) release() error {
	a.begin(a.status)
	held := a.held
	a.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := a.pass(held)
	return err
}

// FlushError implements Front. A server that flushes has more to come, however
// little that was.
func (a *Answer) FlushError() error {
	if a.status != 0 {
		if err := a.release(); err != nil {
			return err
		}
	}
	if a.z != nil {
		if err := a.z.Flush(); err != nil {
			return err
		}
	}
	return a.Front.FlushError()
}

// End ends the answer. One that is not whole gets no end by which a client would take it for
// that.
func (a *Answer) End(whole bool) error {
	var err error
	if a.status != 0 && whole { // it is small
		a.Front.WriteHeader(a.status)
		a.status = 0
		if len(a.held) > 0 {
			_, err = a.Front.Write(a.held)
		}
	}
	if a.z == nil {
		return err
	}
	if whole {
		err = a.z.Close()
	}
	a.encoding.Put(a.z)
	a.z = nil
	return err
}

// notModified changes the header of an answer that has none of its own: what a client has is
// called what it was called when it was compressed.
func (a *Answer) notModified(h http.Header) {
	field.AddVary(h, "Accept-Encoding")
	tag := h["Etag"]
	if len(tag) != 1 || strings.HasPrefix(tag[0], "W/") {
		return
	}
	asked, weakly := strings.Join(a.request.Header["If-None-Match"], ","), weak(tag[0])
	if strings.Contains(asked, weakly) && !strings.Contains(strings.ReplaceAll(asked, weakly, ""), tag[0]) {
		h["Etag"] = []string{weakly}
	}
}

// weak is an entity tag that says the same of other bytes (RFC 9110, 8.8.1).
func weak(tag string) string {
	if strings.HasPrefix(tag, "W/") {
		return tag
	}
	return "W/" + tag
}
