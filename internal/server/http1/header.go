package http1

import (
	"net/http"
	"net/textproto"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/http1head"
)

// field is a field of a header that is written.
type field struct {
	name   string
	values []string
}

// said is what a header says of how the answer is framed.
type said struct{ length, coding, connection []string }

// look looks at the header when it is written.
func (w *response) look() (s said) {
	fields := &w.c.out.fields
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			s.length, w.says = values, true
		case "Content-Encoding":
			w.encoded = first(values) != ""
		case "Transfer-Encoding":
			s.coding = values
		case "Connection":
			s.connection = values
		case "Date":
			w.hasDate = true
		case "Content-Type":
			w.hasType = true
		case "Trailer":
			w.announce(values)
		default:
			if strings.HasPrefix(name, http.TrailerPrefix) {
				w.hasTrailers = true
				continue
			}
		}
		*fields = append(*fields, field{name, values})
	}
	return s
}

// announce notes which trailers the header announces.
func (w *response) announce(lines []string) {
	w.hasTrailers = w.hasTrailers || len(lines) > 0
	for _, names := range lines {
		for name := range strings.SplitSeq(names, ",") {
			if name = http.CanonicalHeaderKey(textproto.TrimString(name)); name != "" && httpguts.ValidTrailerHeader(name) {
				w.trailers = append(w.trailers, name)
			}
		}
	}
}

// frame decides on how the answer is framed, as far as the header says it, and leaves out what it is not to say.
func (w *response) frame(s said) {
	coding := first(s.coding)
	w.coded = coding != ""
	told := false
	if text := first(s.length); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil || n < 0:
			w.c.of.Log.Printf("http: invalid Content-Length of %q", text)
			delete(w.header, "Content-Length")
		case w.coded && coding != "identity":
			w.c.of.Log.Printf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", coding, n)
			w.leave("Content-Length")
			w.length = n
		default:
			w.length, told = n, true
		}
	}
	if w.chunks = w.hasBody() && !told && coding != "identity"; w.chunks {
		w.leave("Content-Length") // which is none
	}
	switch {
	case len(s.coding) == 0:
	case !w.coded || !w.hasBody() || told || coding == "chunked":
		w.leave("Transfer-Encoding")
	case coding == "identity":
		w.leave("Transfer-Encoding")
		w.closes = true
	}
	if !bodyAllowed(w.status) {
		w.leave("Content-Length", "Transfer-Encoding")
		if w.status == http.StatusNotModified {
			w.leave("Content-Type") // of what has not changed
		}
	}
	keeps := w.c.of.keeps()
	w.closes = w.closes || !keeps || first(s.connection) == "close"
	if w.closes && !w.switches(s) && (!keeps || !httpguts.HeaderValuesContainsToken(s.connection[:min(1, len(s.connection))], "close")) {
		w.saysClose = true
		w.leave("Connection")
	}
}

// switches reports whether the connection speaks another protocol from here on, as the handler says.
func (w *response) switches(s said) bool {
	return w.status == http.StatusSwitchingProtocols && w.header.Get("Upgrade") != "" && httpguts.HeaderValuesContainsToken(s.connection, "Upgrade")
}

// leave leaves fields out of the header.
func (w *response) leave(names ...string) {
	fields := &w.c.out.fields
	*fields = slices.DeleteFunc(*fields, func(f field) bool { return slices.Contains(names, f.name) })
}

type byName []field

func (f byName) Len() int           { return len(f) }
func (f byName) Less(i, j int) bool { return f[i].name < f[j].name }
func (f byName) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }

// few fields are sorted by insertion.
const few = 32

// header writes the fields, in the order of their names.
func (o *output) header() {
	fields := o.fields
	if len(fields) > few {
		sort.Sort(byName(fields))
	}
	for i := 1; i < len(fields); i++ {
		for j := i; j > 0 && fields[j].name < fields[j-1].name; j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
	for _, f := range fields {
		if http1head.TokenLen(f.name) < max(1, len(f.name)) {
			continue // no client would read it as a field
		}
		for _, value := range f.values {
			if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
				value = lines.Replace(value)
			}
			o.b = append(append(o.b, f.name...), ": "...)
			o.b = append(append(o.b, textproto.TrimString(value)...), endOfLine...)
		}
	}
	clear(fields)
	o.fields = fields[:0]
}

// lines has a value stay in its line.
var lines = strings.NewReplacer("\n", " ", "\r", " ")
