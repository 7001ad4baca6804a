package compression

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// recorder is a Front.
type recorder struct{ *httptest.ResponseRecorder }

// FlushError implements Front.
func (r recorder) FlushError() error {
	r.Flush()
	return nil
}

// TestHeldBack: Traffic 161: an answer whose length nobody says is compressed once it is large
// enough or flushed, passes as it is where it ends before, and gets no end where it is not whole.
func TestHeldBack(t *testing.T) {
	small, large := strings.Repeat("a", MinSize-1), strings.Repeat("a", MinSize)
	for _, test := range []struct {
		name                 string
		writes               []string // "" flushes
		breaks               bool
		compressed, sent, ok bool
	}{
		{"nothing", nil, false, false, true, true},
		{"a little", []string{"a", "b"}, false, false, true, true},
		{"not enough", []string{small}, false, false, true, true},
		{"enough", []string{large}, false, true, true, true},
		{"enough, in pieces", []string{small, "a", "b"}, false, true, true, true},
		{"flushed", []string{"a", "", "b"}, false, true, true, true},
		{"flushed first", []string{"", "a"}, false, true, true, true},
		{"broken off before", []string{"a"}, true, false, false, true},
		{"broken off", []string{large, "", "a"}, true, true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, q := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			q.Header.Set("Accept-Encoding", "gzip")
			a := NewRule(nil, 0).Answer(recorder{w}, q)
			a.Header().Set("Content-Type", "text/plain")
			a.WriteHeader(http.StatusTeapot)
			want := ""
			for _, text := range test.writes {
				if text == "" {
					if err := a.FlushError(); err != nil || !w.Flushed {
						t.Fatal(err, w.Flushed)
					}
					continue
				}
				if n, err := io.WriteString(a, text); n != len(text) || err != nil {
					t.Fatal(n, err)
				}
				want += text
			}
			if err := a.End(!test.breaks); err != nil {
				t.Fatal(err)
			}
			if sent := w.Code == http.StatusTeapot; sent != test.sent {
				t.Fatalf("%d", w.Code)
			}
			got := w.Body.Bytes()
			if compressed := w.Header().Get("Content-Encoding") == "gzip"; compressed != test.compressed {
				t.Fatalf("%v", w.Header())
			} else if compressed {
				z, err := gzip.NewReader(bytes.NewReader(got))
				if err != nil {
					t.Fatal(err)
				}
				if got, err = io.ReadAll(z); (err == nil) != test.ok {
					t.Error(err)
				}
			}
			if test.sent && test.ok && string(got) != want {
				t.Errorf("%.20q, want %.20q", got, want)
			}
		})
	}
}
