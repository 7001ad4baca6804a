package admin

import (
	"net/http"
	"strconv"
)

// Schemaful is a Gateway that tells the types of its messages.
type Schemaful interface {
	// DescriptorSet is the FileDescriptorSet with a message; nil where there is no such message.
	DescriptorSet(message string) ([]byte, error)
}

// descriptorSetType is the media type of a FileDescriptorSet.
const descriptorSetType = `application/x-protobuf; messageType="google.protobuf.FileDescriptorSet"`

// schemas adds the types of messages, to which the attribute dataschema of events leads (Events 123).
func (s *server) schemas() {
	g, ok := s.Gateway.(Schemaful)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /schemas/{message}", func(w http.ResponseWriter, r *http.Request) {
		set, err := g.DescriptorSet(r.PathValue("message"))
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		case set == nil:
			http.Error(w, "there is no message "+strconv.Quote(r.PathValue("message")), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", descriptorSetType)
		w.Header().Set("Content-Length", strconv.Itoa(len(set)))
		_, _ = w.Write(set) // the client is gone
	})
}
