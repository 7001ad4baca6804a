package http1_test

import (
	"io"
	"net/http"
	"time"
)

// trailing makes a handler with a header before and after the body.
func trailing(body string, before, after map[string]string, then func(writer, notes)) behavior {
	return func(w writer, _ *http.Request, note notes) {
		for name, value := range before {
			w.Header().Set(name, value)
		}
		note(io.WriteString(w, body))
		if then != nil {
			then(w, note)
		}
		for name, value := range after {
			w.Header().Set(name, value)
		}
	}
}

type fields = map[string]string

// trailers are handlers that tell something behind the body.
var trailers = map[string]behavior{
	"announced":               trailing("hello", fields{"Trailer": "X-A, x-b ,,"}, fields{"X-A": "1", "X-B": "2", "X-C": "3"}, nil),
	"announced, not told":     trailing("hello", fields{"Trailer": "X-A"}, nil, nil),
	"announced, no body":      trailing("", fields{"Trailer": "X-A"}, fields{"X-A": "1"}, nil),
	"announced, told before":  trailing("hello", fields{"Trailer": "X-A", "X-A": "0"}, fields{"X-A": "1"}, nil),
	"announced twice":         trailing("hello", fields{"Trailer": "X-A, X-A"}, fields{"X-A": "1"}, nil),
	"announced as nothing":    trailing("hello", fields{"Trailer": ""}, fields{"X-A": "1"}, nil),
	"announced with a length": trailing("hello", fields{"Trailer": "X-A", "Content-Length": "5"}, fields{"X-A": "1"}, nil),
	"announced, flushed":      trailing("hello", fields{"Trailer": "X-A"}, fields{"X-A": "1"}, flush),
	"announced, long":         trailing(text[:50000], fields{"Trailer": "X-A"}, fields{"X-A": "1"}, nil),
	"forbidden": trailing("hello", fields{"Trailer": "Content-Length, Transfer-Encoding, Trailer, Host, Authorization, X-A, a b"},
		fields{"Content-Length": "9", "Transfer-Encoding": "x", "Host": "y", "Authorization": "z", "X-A": "1"}, nil),
	"announced after":         trailing("hello", nil, fields{"Trailer": "X-A", "X-A": "1"}, nil),
	"announced after, long":   trailing(text[:5000], nil, fields{"Trailer": "X-A", "X-A": "1"}, nil),
	"prefixed before":         trailing("hello", fields{http.TrailerPrefix + "X-A": "0", http.TrailerPrefix + "x-b": "0"}, fields{http.TrailerPrefix + "X-A": "1"}, nil),
	"prefixed after":          trailing("hello", nil, fields{http.TrailerPrefix + "X-A": "1"}, nil),
	"prefixed after, flushed": trailing("hello", nil, fields{http.TrailerPrefix + "X-A": "1", http.TrailerPrefix + "x-b": "2"}, flush),
	"prefixed, line ends":     trailing("hello", nil, fields{http.TrailerPrefix + "X-A": "1\r\nB: 2", http.TrailerPrefix + "a b": "3"}, flush),
	"prefixed with a length":  trailing("hello", fields{"Content-Length": "5"}, fields{http.TrailerPrefix + "X-A": "1"}, flush),
	"prefixed alone":          trailing("", fields{http.TrailerPrefix + "X-A": "0"}, nil, nil),
	"prefixed and announced":  trailing("hello", fields{"Trailer": "X-A"}, fields{"X-A": "1", http.TrailerPrefix + "X-A": "2"}, nil),
	"prefixed, several": func(w writer, _ *http.Request, note notes) {
		w.Header()["Trailer"] = []string{"X-B", "X-A,X-C"}
		note(io.WriteString(w, "hello"))
		flush(w, note)
		w.Header()["X-A"] = []string{"2", "1"}
		w.Header()[http.TrailerPrefix+"X-Z"] = []string{"4", "3"}
	},
	"of nil": func(w writer, _ *http.Request, note notes) {
		w.Header()["Trailer"] = nil
		w.Header()[http.TrailerPrefix+"X-Z"] = nil
		note(io.WriteString(w, "hello"))
	},
	"with 204": func(w writer, _ *http.Request, _ notes) {
		w.Header().Set("Trailer", "X-A")
		w.WriteHeader(204)
		w.Header().Set("X-A", "1")
	},
	"with identity": trailing("hello", fields{"Trailer": "X-A", "Transfer-Encoding": "identity"}, fields{"X-A": "1"}, nil),
}

// breaking are handlers that break an answer off.
var breaking = map[string]behavior{
	"abort":        func(writer, *http.Request, notes) { panic(http.ErrAbortHandler) },
	"panic":        func(writer, *http.Request, notes) { panic("x") },
	"panic of nil": func(writer, *http.Request, notes) { panic(nil) },
	"abort behind a status": func(w writer, _ *http.Request, _ notes) {
		w.WriteHeader(200)
		panic(http.ErrAbortHandler)
	},
	"abort behind a little": func(w writer, _ *http.Request, note notes) {
		note(io.WriteString(w, "hello"))
		panic(http.ErrAbortHandler)
	},
	"panic behind much": func(w writer, _ *http.Request, note notes) {
		note(io.WriteString(w, text[:50000]))
		panic("x")
	},
	"abort behind 3 KB": func(w writer, _ *http.Request, note notes) {
		note(io.WriteString(w, text[:3000]))
		panic(http.ErrAbortHandler)
	},
	"abort behind all of it": func(w writer, _ *http.Request, note notes) {
		w.Header().Set("Content-Length", "3000")
		note(io.WriteString(w, text[:3000]))
		panic(http.ErrAbortHandler)
	},
	"write in a deadline's past": func(w writer, _ *http.Request, note notes) {
		note(http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)))
		_, _ = io.WriteString(w, "hello")
	},
}

// flushedAndBroken are handlers that break an answer off of which all is sent.
var flushedAndBroken = map[string]behavior{
	"panic behind a flush": func(w writer, _ *http.Request, note notes) {
		note(io.WriteString(w, "hello"))
		flush(w, note)
		panic("x")
	},
	"abort behind a flush of the header": func(w writer, _ *http.Request, note notes) {
		w.Header().Set("Content-Length", "5")
		flush(w, note)
		panic(http.ErrAbortHandler)
	},
	"abort behind 103": func(w writer, _ *http.Request, _ notes) {
		w.WriteHeader(103)
		panic(http.ErrAbortHandler)
	},
	"abort behind a flush and a little": func(w writer, _ *http.Request, note notes) {
		flush(w, note)
		note(io.WriteString(w, "hello"))
		panic(http.ErrAbortHandler)
	},
}
