package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// handler is a way to answer.
type handler struct {
	name  string
	serve behavior
	// cuts says that answers are broken off, and how much is sent of them is not said.
	cuts bool
}

type (
	writer = http.ResponseWriter
	notes  = func(...any)
)

var text = strings.Repeat("0123456789abcdef", 1<<16)

// wants makes a handler that sets fields and writes a body.
func wants(body string, fields ...string) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		note(io.WriteString(w, body))
	}
}

// status makes a handler of a status, with some fields and a body behind it.
func status(code int, body string, fields ...string) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
		if body != "" {
			n, err := w.Write([]byte(body))
			note(n, err, errors.Is(err, http.ErrBodyNotAllowed), errors.Is(err, http.ErrContentLength))
		}
	}
}

// pieces makes a handler that writes n pieces of a size.
func pieces(n, size int, between func(writer, notes), fields ...string) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		for i := range n {
			note(w.Write([]byte(text[i : i+size])))
			if between != nil {
				between(w, note)
			}
		}
	}
}

func flush(w writer, note notes) { note(http.NewResponseController(w).Flush()) }

// copies makes a handler that copies from a source, behind some text.
func copies(before string, source func() io.Reader, fields ...string) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		if before != "" {
			note(io.WriteString(w, before))
		}
		from := source()
		note(w.(io.ReaderFrom).ReadFrom(from))
		if c, ok := from.(io.Closer); ok {
			_ = c.Close()
		}
		note(io.WriteString(w, "behind"))
	}
}

func limited(n int64) func() io.Reader {
	return func() io.Reader { return io.LimitReader(strings.NewReader(text), n) }
}

func file(n int) func() io.Reader {
	return func() io.Reader {
		f, err := os.CreateTemp("", "")
		if err != nil {
			panic(err)
		}
		_ = os.Remove(f.Name())
		if _, err := f.WriteString(text[:n]); err != nil {
			panic(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			panic(err)
		}
		return f
	}
}

func connection(n int) func() io.Reader {
	return func() io.Reader {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		defer func() { _ = l.Close() }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			panic(err)
		}
		from, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			_, _ = io.WriteString(c, text[:n])
			_ = c.Close()
		}()
		return from
	}
}

// broken fails behind some bytes.
func broken(n int64) func() io.Reader {
	return func() io.Reader {
		return io.MultiReader(io.LimitReader(strings.NewReader(text), n), errReader{})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// handlers are made of the tables.
var handlers = func() (all []handler) {
	add := func(name string, serve behavior) { all = append(all, handler{name: name, serve: serve}) }
	add("nothing", func(writer, *http.Request, notes) {})
	add("header alone", func(w writer, _ *http.Request, _ notes) { w.Header().Set("A", "b") })
	for _, code := range []int{101, 200, 201, 202, 204, 205, 299, 301, 304, 404, 418, 500, 599, 600, 999} {
		add(fmt.Sprint("status ", code), status(code, ""))
		add(fmt.Sprint("status and body ", code), status(code, "hello"))
		add(fmt.Sprint("status and fields ", code), status(code, "hello", "Content-Type", "a/b", "Content-Length", "5", "Etag", `"x"`))
	}
	for _, code := range []int{-1, 0, 99, 1000} {
		all = append(all, handler{fmt.Sprint("invalid status ", code), status(code, ""), true})
	}
	for _, n := range []int{0, 1, 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097, 16383, 16384, 16385, 20480, 51200, 1 << 20} {
		add(fmt.Sprint("body ", n), pieces(1, n, nil))
		add(fmt.Sprint("body with its length ", n), pieces(1, n, nil, "Content-Length", fmt.Sprint(n)))
		add(fmt.Sprint("body flushed ", n), pieces(1, n, flush))
		add(fmt.Sprint("copy limited ", n), copies("", limited(int64(n))))
	}
	for _, of := range [][2]int{{3, 0}, {2048, 1}, {2049, 1}, {100, 100}, {3, 1024}, {2, 1025}, {2, 2047}, {2, 2048}, {3, 5000}, {40, 999}, {3, 16384}, {5, 30000}} {
		n, size := of[0], of[1]
		add(fmt.Sprintf("%d pieces of %d", n, size), pieces(n, size, nil))
		add(fmt.Sprintf("%d pieces of %d with a length", n, size), pieces(n, size, nil, "Content-Length", fmt.Sprint(n*size)))
		add(fmt.Sprintf("%d pieces of %d, flushed", min(n, 50), size), pieces(min(n, 50), size, flush))
		add(fmt.Sprintf("%d pieces of %d, flushed, with a length", min(n, 50), size), pieces(min(n, 50), size, flush, "Content-Length", fmt.Sprint(min(n, 50)*size)))
	}
	for kind, table := range map[string]map[string]behavior{"": special, "trailer ": trailers, "broken ": flushedAndBroken} {
		for name, serve := range table {
			add(kind+name, serve)
		}
	}
	for name, serve := range breaking {
		all = append(all, handler{name, serve, true})
	}
	for name, source := range map[string]func() io.Reader{
		"nothing": limited(0), "file": file(100_000), "little file": file(100), "connection": connection(70_000), "broken": broken(3000), "broken at once": broken(0),
		"limited file": func() io.Reader { return io.LimitReader(file(5000)(), 3000) }, "512": limited(512), "bytes": func() io.Reader { return bytes.NewReader([]byte(text[:9000])) },
	} {
		add("copy "+name, copies("", source))
		add("copy behind text, "+name, copies("<html>", source))
		add("copy with a type, "+name, copies("", source, "Content-Type", "a/b"))
		add("copy with a length, "+name, copies("", source, "Content-Length", "3000"))
		add("copy with identity, "+name, copies("", source, "Transfer-Encoding", "identity"))
		add("copy to 204, "+name, func(w writer, r *http.Request, note notes) {
			w.WriteHeader(http.StatusNoContent)
			copies("", source)(w, r, note)
		})
	}
	return all
}()

// special are handlers that try the edges of a header.
var special = map[string]behavior{
	"flush before anything": func(w writer, _ *http.Request, note notes) {
		flush(w, note)
		note(io.WriteString(w, "hello"))
	},
	"flush alone":             func(w writer, _ *http.Request, note notes) { flush(w, note) },
	"flush of 204":            func(w writer, _ *http.Request, note notes) { w.WriteHeader(204); flush(w, note) },
	"flush twice":             pieces(2, 5, func(w writer, note notes) { flush(w, note); flush(w, note) }),
	"write of nothing":        func(w writer, _ *http.Request, note notes) { note(w.Write(nil)) },
	"Flusher":                 func(w writer, _ *http.Request, _ notes) { w.(http.Flusher).Flush() },
	"100":                     func(w writer, _ *http.Request, _ notes) { w.WriteHeader(100); w.WriteHeader(200) },
	"103":                     informed(103, 200),
	"103 and 204":             informed(103, 204),
	"103 and 304":             informed(103, 304),
	"150 and 404":             informed(150, 404),
	"199 twice":               func(w writer, _ *http.Request, _ notes) { w.WriteHeader(199); w.WriteHeader(199) },
	"100 alone":               func(w writer, _ *http.Request, _ notes) { w.WriteHeader(100) },
	"103 behind a body":       func(w writer, _ *http.Request, note notes) { note(w.Write([]byte("a"))); w.WriteHeader(103) },
	"101 with Upgrade":        status(101, "", "Connection", "Upgrade", "Upgrade", "x"),
	"length too small":        wants("hello", "Content-Length", "3"),
	"length too small, later": pieces(3, 1000, nil, "Content-Length", "1500"),
	"length too large":        wants("hello", "Content-Length", "30"),
	"length too large, long":  pieces(3, 1000, nil, "Content-Length", "5000"),
	"length without a body":   wants("", "Content-Length", "5"),
	"length of 0":             wants("", "Content-Length", "0"),
	"length of 0 and a body":  wants("hello", "Content-Length", "0"),
	"length of a word":        wants("hello", "Content-Length", "five"),
	"length below 0":          wants("hello", "Content-Length", "-5"),
	"length with a plus":      wants("hello", "Content-Length", "+5"),
	"length with spaces":      wants("hello", "Content-Length", " 5 "),
	"length with zeros":       wants("hello", "Content-Length", "005"),
	"empty length":            wants("hello", "Content-Length", ""),
	"two lengths":             wants("hello", "Content-Length", "5", "Content-Length", "5"),
	"two other lengths":       wants("hello", "Content-Length", "5", "Content-Length", "6"),
	"length of nil":           setting("hello", "Content-Length"),
	"bad length, long":        wants(text[:5000], "Content-Length", "x"),
	"bad length, no body":     wants("", "Content-Length", "x"),
	"bad length, 204":         status(204, "", "Content-Length", "x"),
	"html":                    wants("<html><body>hello"),
	"json":                    wants(`{"a":1}`),
	"png":                     wants("\x89PNG\x0D\x0A\x1A\x0A1234"),
	"binary":                  wants("\x00\x01\x02"),
	"spaces":                  wants("   \n"),
	"type of nil":             setting("hello", "Content-Type"),
	"empty type":              wants("hello", "Content-Type", ""),
	"type":                    wants("hello", "Content-Type", "application/grpc+json; charset=x"),
	"two types":               wants("hello", "Content-Type", "a/b", "Content-Type", "c/d"),
	"encoding":                wants("hello", "Content-Encoding", "gzip"),
	"empty encoding":          wants("hello", "Content-Encoding", ""),
	"encoding of nil":         setting("hello", "Content-Encoding"),
	"encoding later": func(w writer, _ *http.Request, note notes) {
		w.WriteHeader(200)
		w.Header().Set("Content-Encoding", "gzip")
		note(io.WriteString(w, "hello"))
	},
	"encoding taken away": func(w writer, _ *http.Request, note notes) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(200)
		w.Header().Del("Content-Encoding")
		note(io.WriteString(w, "hello"))
	},
	"encoding taken away behind a write": func(w writer, _ *http.Request, note notes) {
		w.Header().Set("Content-Encoding", "gzip")
		note(io.WriteString(w, "hello"))
		w.Header().Del("Content-Encoding")
	},
	"chunked":                      wants("hello", "Transfer-Encoding", "chunked"),
	"chunked without a body":       wants("", "Transfer-Encoding", "chunked"),
	"chunked, long":                wants(text[:9000], "Transfer-Encoding", "chunked"),
	"chunked with a length":        wants("hello", "Transfer-Encoding", "chunked", "Content-Length", "5"),
	"chunked with a smaller one":   wants("hello", "Transfer-Encoding", "chunked", "Content-Length", "3"),
	"chunked with a larger one":    wants("hello", "Transfer-Encoding", "chunked", "Content-Length", "9"),
	"chunked, 204":                 status(204, "", "Transfer-Encoding", "chunked"),
	"identity":                     wants("hello", "Transfer-Encoding", "identity"),
	"identity, long":               pieces(9, 3000, nil, "Transfer-Encoding", "identity"),
	"identity with a length":       wants("hello", "Transfer-Encoding", "identity", "Content-Length", "5"),
	"identity without a body":      wants("", "Transfer-Encoding", "identity"),
	"identity, 304":                status(304, "", "Transfer-Encoding", "identity"),
	"identity and close":           wants("hello", "Transfer-Encoding", "identity", "Connection", "close"),
	"identity and two Connections": wants("hello", "Transfer-Encoding", "identity", "Connection", "foo", "Connection", "close"),
	"identity with a bad length":   wants("hello", "Transfer-Encoding", "identity", "Content-Length", "x"),
	"gzip as coding":               wants("hello", "Transfer-Encoding", "gzip"),
	"empty coding":                 wants("hello", "Transfer-Encoding", ""),
	"coding of nil":                setting("hello", "Transfer-Encoding"),
	"two codings":                  wants("hello", "Transfer-Encoding", "gzip", "Transfer-Encoding", "chunked"),
	"close":                        wants("hello", "Connection", "close"),
	"Close":                        wants("hello", "Connection", "Close"),
	"close, foo":                   wants("hello", "Connection", "close, foo"),
	"foo and close":                wants("hello", "Connection", "foo", "Connection", "close"),
	"close and foo":                wants("hello", "Connection", "close", "Connection", "foo"),
	"close, flushed":               pieces(2, 5, flush, "Connection", "close"),
	"close with 204":               status(204, "", "Connection", "close"),
	"close with a larger length":   wants("hello", "Connection", "close", "Content-Length", "9"),
	"keep-alive":                   wants("hello", "Connection", "keep-alive"),
	"Connection of another":        wants("hello", "Connection", "foo"),
	"empty Connection":             wants("hello", "Connection", ""),
	"Connection of nil":            setting("hello", "Connection"),
	"close later": func(w writer, _ *http.Request, note notes) {
		w.WriteHeader(200)
		w.Header().Set("Connection", "close")
		note(io.WriteString(w, "hello"))
	},
	"Date":           wants("hello", "Date", "Mon, 01 Feb 1999 00:00:00 GMT"),
	"empty Date":     wants("hello", "Date", ""),
	"Date of nil":    setting("hello", "Date"),
	"line ends":      wants("hello", "A", "b\r\nC: d", "E", "\r\n\r\n", "F", "\n g \t\r", "H", "a\x00\x7f\xff"),
	"odd names":      wants("hello", "a b", "c", "", "d", "e:", "f", "ä", "g", "h\r\nI: j", "k", "l_m", "n", "(x)", "y"),
	"several values": wants("hello", "Set-Cookie", "a=1", "Set-Cookie", "b=2", "Vary", "A", "Vary", "", "Allow", "x"),
	"names as they are": func(w writer, _ *http.Request, note notes) {
		h := w.Header()
		h["x-lower"], h["X-Lower"], h["content-length"], h["connection"] = []string{"1"}, []string{"2"}, []string{"3"}, []string{"close"}
		h["date"], h["content-type"], h["transfer-encoding"], h["trailer"] = []string{"4"}, []string{"5"}, []string{"6"}, []string{"7"}
		h["Nil"], h["Empty"] = nil, []string{}
		note(io.WriteString(w, "hello"))
	},
	"50 fields": func(w writer, _ *http.Request, note notes) {
		for i := range 50 {
			w.Header().Set(fmt.Sprintf("X-%d", i*7%50), fmt.Sprint(i))
		}
		note(io.WriteString(w, "hello"))
	},
	"a header of 20 KB": wants("hello", "A", text[:20<<10]),
	"a header of 70 KB": wants("hello", "A", text[:70<<10]),
	"header later": func(w writer, _ *http.Request, note notes) {
		h := w.Header()
		h.Set("A", "1")
		h["B"] = []string{"2"}
		w.WriteHeader(201)
		h.Set("A", "3")
		h["B"][0] = "4"
		h.Set("C", "5")
		h.Set("Content-Type", "a/b")
		h.Set("Content-Length", "9")
		h.Set("Date", "now")
		note(io.WriteString(w, "hello"))
		h.Set("D", "6")
	},
	"superfluous": func(w writer, _ *http.Request, note notes) {
		w.WriteHeader(404)
		w.WriteHeader(200)
		note(io.WriteString(w, "hello"))
		w.WriteHeader(-1)
	},
	"write through WriteString": func(w writer, _ *http.Request, note notes) {
		note(w.(io.StringWriter).WriteString("hello"))
		note(w.(io.StringWriter).WriteString(""))
		note(w.(io.StringWriter).WriteString(text[:5000]))
	},
	"deadlines": func(w writer, _ *http.Request, note notes) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(time.Hour)) // a pipe has none whose other end is closed
		note(c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex())
		note(io.WriteString(w, "hello"))
		note(c.Flush())
	},
	"deadlines taken back": func(w writer, _ *http.Request, note notes) {
		c := http.NewResponseController(w)
		_, _ = c.SetReadDeadline(time.Unix(1, 0)), c.SetReadDeadline(time.Time{}) // a pipe has none whose other end is closed
		note(c.SetWriteDeadline(time.Unix(1, 0)), c.SetWriteDeadline(time.Time{}))
		note(io.WriteString(w, "hello"))
	},
	"read of the body": func(w writer, r *http.Request, note notes) {
		b, err := io.ReadAll(r.Body)
		note(string(b), err, r.Body.Close(), fmt.Sprint(r.Trailer))
		note(w.Write(b))
	},
	"form": func(_ writer, r *http.Request, note notes) { note(r.ParseForm(), r.Form, r.PostForm) },
	"changed request": func(w writer, r *http.Request, note notes) {
		if r.Method == "HEAD" {
			return // net/http looks at the method later
		}
		r.Header.Set("A", "b")
		r.Header["Accept"] = append(r.Header["Accept"], "c")
		r.URL.Path, r.Host, r.RequestURI, r.Close = "/other", "other", "/other", true
		note(io.WriteString(w, "hello"))
	},
}

// informed makes a handler that writes a header twice.
func informed(code, then int) behavior {
	return func(w writer, _ *http.Request, note notes) {
		h := w.Header()
		h.Set("Link", "</a>")
		h.Set("Content-Length", "5")
		h.Set("Trailer", "X")
		h.Set(http.TrailerPrefix+"Y", "z")
		w.WriteHeader(code)
		h.Del("Trailer")
		h.Del(http.TrailerPrefix + "Y")
		h.Set("Link", "</b>")
		w.WriteHeader(then)
		note(io.WriteString(w, "hello"))
	}
}

// setting makes a handler that names fields without values.
func setting(body string, names ...string) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for _, name := range names {
			w.Header()[name] = nil
		}
		note(io.WriteString(w, body))
	}
}
