package http1_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzServer has both servers answer what a client says, by the handler that the target names.
func FuzzServer(f *testing.F) {
	var at []int // of the handlers that are quick and break nothing off
	for i, h := range handlers {
		if !h.cuts {
			at = append(at, i)
		}
	}
	ours, theirs := newSides(f, func(w writer, r *http.Request, note notes) {
		h := fnv.New32a()
		_, _ = io.WriteString(h, r.URL.Path)
		handlers[at[int(h.Sum32()%uint32(len(at)))]].serve(w, r, note)
	})
	for _, r := range requests {
		f.Add([]byte(r.raw))
		f.Add([]byte(r.raw + r.raw + probe))
	}
	for i := range 4 * len(at) {
		f.Add(fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\nHEAD /%d HTTP/1.1\r\nHost: x\r\n\r\n", i, i))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 || bytes.Contains(raw, []byte("PRI * HTTP/2.0")) {
			return
		}
		if text := ours.send(string(raw)).differs(theirs.send(string(raw)), false); text != "" {
			t.Error(text)
		}
	})
}

func init() {
	slices.SortStableFunc(handlers, func(a, b handler) int { return strings.Compare(a.name, b.name) }) // maps have no order
}
