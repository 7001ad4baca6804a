package http1head

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// FuzzScan compares with net/http: what a Scanner passes, net/http reads as the same
// requests, each with the same end; and it matters nothing in which pieces bytes come.
func FuzzScan(f *testing.F) {
	for _, r := range refusals {
		f.Add([]byte(r.request), uint8(3))
	}
	for _, text := range passed {
		f.Add([]byte(text), uint8(5))
	}
	f.Add([]byte(preface), uint8(5))
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		requests, sound, fault := scanBy(string(text), 1)
		_, otherSound, other := scanBy(string(text), int(piece)+1)
		if (fault == nil) != (other == nil) || fault != nil && *fault != *other || fault == nil && sound != otherSound {
			t.Fatalf("byte by byte: %v at %d; in pieces of %d: %v at %d", fault, sound, int(piece)+1, other, otherSound)
		}
		if bytes.HasPrefix(text, []byte(preface)) {
			return
		}
		compare(t, text, requests)
	})
}

// compare has net/http read requests that begin and end where the scanner says.
func compare(t *testing.T, text []byte, requests [][2]int) {
	t.Helper()
	for _, at := range requests {
		from, end := at[0], at[1]
		source := bytes.NewReader(text[from:])
		r := bufio.NewReader(source)
		request, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text[from:end], err)
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			t.Fatalf("net/http refuses the body of %q: %v", text[from:end], err)
		}
		if got := len(text) - source.Len() - r.Buffered(); got != end {
			t.Fatalf("net/http sees the end of a request at %d, and the scanner at %d: %q", got, end, text[from:])
		}
		served(t, request)
	}
}

// served checks what net/http's server does besides.
func served(t *testing.T, r *http.Request) {
	t.Helper()
	if r.ProtoMajor != 1 || r.Host != "" && !httpguts.ValidHostHeader(r.Host) {
		t.Fatalf("%s, host %q", r.Proto, r.Host)
	}
	for name, values := range r.Header {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				t.Fatalf("the field %q: %q", name, v)
			}
		}
	}
	if strings.Contains(r.RequestURI, "#") || r.URL.User != nil || r.URL.Path == "" && r.URL.Host == "" {
		t.Fatalf("the target %q", r.RequestURI)
	}
	if r.ContentLength >= 0 && len(r.TransferEncoding) > 0 {
		t.Fatalf("a length and %v", r.TransferEncoding)
	}
}
