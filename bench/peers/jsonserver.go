package peers

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// maxBody bounds what the JSON server reads, in bytes.
const maxBody = 1 << 20

// serveJSON is the backend of the plain proxies. It answers what the gRPC
// backend answers, encoded once at the start: its work is not measured.
func serveJSON(ctx context.Context, listener net.Listener, _ Backends) error {
	item, err := encode(small)
	if err != nil {
		return err
	}
	items, err := encode(list)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/items/{id}", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, item) })
	mux.HandleFunc("GET /v1/items", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, items) })
	mux.HandleFunc("POST /v1/items", createJSON)
	blob := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	mux.HandleFunc("GET /blob", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, blob) })
	return serveHTTP(ctx, listener, mux)
}

func createJSON(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	item := &benchv1.Item{}
	if err := protojson.Unmarshal(body, item); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := encode(item)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, answer)
}

func encode(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
}

// writeJSON writes a whole answer. A client that is gone needs no report.
func writeJSON(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}
