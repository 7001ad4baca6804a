package gateway_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestHitsBesideEvictions: Traffic 115, 120: while answers are dropped for want of memory, and kept in one form
// more, all who ask, by each protocol, have the answer to what they asked for, whole; the memory
// stays within its bound.
func TestHitsBesideEvictions(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Backend: grpctest.ServeAny(t, sameServer), Protos: map[string]string{"same.proto": sameProto},
		Config: "cache: { max_bytes: 1048576 }",
	})
	conn := grpctest.Dial(t, g.Addr)
	name := func(i int) string { return fmt.Sprintf("long-%03d", i) }
	plain := func(name, encoding string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+"/v1/read/"+name, http.NoBody)
		if err != nil {
			return "", err
		}
		r.Header.Set("Accept-Encoding", encoding)
		response, err := g.Client.Do(r)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body := io.Reader(response.Body)
		if encoding == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				return "", err
			}
		}
		text, err := io.ReadAll(body)
		return string(text), err
	}
	rpc := func(name string) (string, error) {
		request, answer := new(emptypb.Empty), new(emptypb.Empty)
		request.ProtoReflect().SetUnknown(append([]byte{0x0a, byte(len(name))}, name...))
		err := conn.Invoke(t.Context(), "/same.v1.Service/Read", request, answer, grpc.WaitForReady(true))
		return string(answer.ProtoReflect().GetUnknown()), err
	}
	const names = 1000 // of which some find room
	ask := func(worker, i int) (text string, err error) {
		of := name((worker*37 + i*7) % names)
		switch i % 3 {
		case 0:
			text, err = plain(of, "identity")
		case 1:
			text, err = plain(of, "gzip")
		default:
			text, err = rpc(of)
		}
		if err == nil && (strings.Count(text, of) != 2 || len(text) < 1200 || strings.Count(text, "long-") != 2) {
			err = fmt.Errorf("asked for %s, got %d bytes: %.100q…", of, len(text), text)
		}
		return text, err
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 300 {
				if _, err := ask(worker, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	var used, evicted float64
	for line := range bytes.Lines([]byte(metricsOf(g))) {
		_, _ = fmt.Sscanf(string(line), "transom_cache_bytes %g", &used) // of one line
		_, _ = fmt.Sscanf(string(line), "transom_cache_evictions_total %g", &evicted)
	}
	if used == 0 || used > 1<<20 || evicted < 1 {
		t.Errorf("%v bytes are taken, %v answers were dropped", used, evicted)
	}
}
