package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// errorPages are pages for browsers that a plain HTTP route refuses, by what
// config.ErrorPage makes of a status.
type errorPages map[string][]byte

// readErrorPages reads the files.
func (b *builder) readErrorPages() errorPages {
	pages := errorPages{}
	for _, status := range slices.Sorted(maps.Keys(b.file.Config.GetErrorPages())) {
		name := inDirectory(b.file.Directory, b.file.Config.GetErrorPages()[status])
		page, err := regularfile.Read(name, config.MaxErrorPage)
		if err != nil {
			b.refuse(fmt.Sprintf("error_pages.%s: %v", status, err), "error_pages", status)
		}
		pages[status] = page
	}
	return pages
}

// of returns the page for a status: its own, that of its class, or the default; nil for none.
func (p errorPages) of(httpStatus int) []byte {
	text := strconv.Itoa(httpStatus)
	for _, key := range [...]string{text, text[:1] + "xx", "default"} {
		if page, ok := p[key]; ok {
			return page
		}
	}
	return nil
}

// write answers a browser with a status and its page, if there is one.
func (p errorPages) write(w http.ResponseWriter, r *http.Request, httpStatus int) {
	page := p.of(httpStatus)
	h := w.Header()
	h["Content-Length"] = []string{strconv.Itoa(len(page))}
	if page != nil {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		h["Cache-Control"] = []string{"no-store"}
	}
	w.WriteHeader(httpStatus)
	if r.Method != http.MethodHead {
		writePage(w, page)
	}
}

// writePage writes a page that the client has to read in time. net/http takes the deadline away behind it.
func writePage(w http.ResponseWriter, page []byte) {
	if len(page) >= exchange.LongAnswer {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(exchange.WriteTimeout)) // recorders alone have none
	}
	_, _ = w.Write(page) // a client that is gone reads no page
}
