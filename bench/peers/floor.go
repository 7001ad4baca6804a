package peers

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
)

// floorHeap is how much garbage the floor leaves before it collects, as much as Transom does.
const floorHeap = 96 << 20

// serveFloor is what an answer that is kept costs at the least, where net/http serves it: a handler
// that has it ready, as bytes and as lines of the header, and looks at nothing. A body it reads.
func serveFloor(ctx context.Context, listener net.Listener, _ Backends) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(floorHeap))
	item, err := encode(small)
	if err != nil {
		return err
	}
	large, err := encode(LargeItem(1))
	if err != nil {
		return err
	}
	items, err := encode(list)
	if err != nil {
		return err
	}
	kept := http.Header{
		"Cache-Control": {"public, max-age=86400"}, "Content-Type": {"application/json"}, "Etag": {`W/"jYI4HqCU44vkczZ40y4tWg"`},
		"Vary": {"Accept", "Accept-Encoding"}, "X-Request-Id": {"243b64fc8b64c0bd743bf895c13bc3e9"},
	}
	replayed := http.Header{
		"Content-Type": {"application/json"}, "Idempotent-Replayed": {"true"}, "X-Request-Id": {"243b64fc8b64c0bd743bf895c13bc3e9"},
	}
	bodies := sync.Pool{New: func() any { return new([4 << 10]byte) }}
	return serveHTTP(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if r.URL.Path == "/v1/items" {
				writeReady(w, kept, items)
				return
			}
			writeReady(w, kept, item)
			return
		}
		body, ok := bodies.Get().(*[4 << 10]byte)
		if !ok {
			return // the pool holds nothing else
		}
		defer bodies.Put(body)
		if _, err := io.ReadFull(r.Body, body[:]); err != io.ErrUnexpectedEOF {
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		}
		writeReady(w, replayed, large)
	}))
}

func writeReady(w http.ResponseWriter, header http.Header, body []byte) {
	h := w.Header()
	for name, lines := range header {
		h[name] = lines
	}
	_, _ = w.Write(body) // a client that is gone needs no report
}
