package admin

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"time"
)

// Described is a Gateway that has an OpenAPI document.
type Described interface {
	// OpenAPI is the document in a version of OpenAPI, of one service or of all, with an
	// entity tag. The error is of what was asked for, an fs.ErrNotExist where it is not there.
	OpenAPI(version, service string, yaml bool) (text []byte, tag string, err error)
}

// openAPI adds the document of what is served.
func (s *server) openAPI() {
	g, ok := s.Gateway.(Described)
	if !ok {
		return
	}
	for path, contentType := range map[string]string{"/openapi.json": "application/json", "/openapi.yaml": "application/yaml"} {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			text, tag, err := g.OpenAPI(query.Get("version"), query.Get("service"), path == "/openapi.yaml")
			switch {
			case errors.Is(err, fs.ErrNotExist):
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			case err != nil:
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Etag", tag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
		})
	}
}
