// Package console hands out the files of the console, the operator's pages for browsers. They
// are written of the sources in the folder console at the top, and committed. What the pages show
// they ask the admin listener for; this package knows nothing of it.
//
//	options.Console = console.New()
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/transom-gateway/transom/internal/entitytag"
	"github.com/transom-gateway/transom/internal/field"
)

//go:embed built
var built embed.FS

// policy is the Content-Security-Policy of the pages: no script, style or connection from
// elsewhere, none within a page, and no text that becomes markup (Surface 233).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const (
	index    = "index.html"   // the page that all others are parts of
	licenses = "licenses.txt" // those of the packages within
)

// types are the media types of the files, which no table of the system's may change.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// file is one of the files.
type file struct {
	plain, gzipped []byte
	mediaType      string
	sum            string // of the content, for entity tags
}

// files are all of them, by name. They are compressed when somebody asks for the first.
var files = sync.OnceValue(func() map[string]*file {
	all := map[string]*file{}
	names, _ := fs.Glob(built, "built/*") // the pattern is good
	for _, name := range names {
		plain, err := built.ReadFile(name)
		if err != nil {
			continue // embedded files can be read
		}
		sum := sha256.Sum256(plain)
		all[path.Base(name)] = &file{plain, compressed(plain), types[path.Ext(name)], hex.EncodeToString(sum[:12])}
	}
	return all
})

func compressed(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is good
	_, _ = w.Write(plain)                                 // the buffer takes all
	_ = w.Close()                                         // as above
	return b.Bytes()
}

// New returns the handler of the files, each at its name, the page at /. Names of scripts and
// styles have the sum of what is in them, so that browsers keep them for good.
func New() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = index
	}
	f := files()[name]
	if f == nil {
		http.Error(w, "the console has no file "+strconv.Quote(name)+"; it is at /console/", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", f.mediaType)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	content, tag, zipped := f.plain, `"`+f.sum+`"`, field.Accepts(r.Header["Accept-Encoding"], "gzip")
	if zipped {
		content, tag = f.gzipped, `"`+f.sum+`-gzip"` // other bytes have another tag (RFC 9110 8.8.3.3)
	}
	h.Set("Etag", tag)
	h.Set("Vary", "Accept-Encoding")
	if name == index || name == licenses {
		h.Set("Cache-Control", "no-cache") // a later version has other scripts
	} else {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if entitytag.Listed(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if zipped {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the client is gone
}
