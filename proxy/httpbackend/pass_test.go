package httpbackend_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// passing counts the pieces that pass from connection to connection.
type passing struct {
	http.ResponseWriter
	n *atomic.Int64
}

// ReadFrom implements io.ReaderFrom.
func (p *passing) ReadFrom(r io.Reader) (int64, error) {
	p.n.Add(1)
	return io.Copy(p.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (p *passing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// TestLongBodies: bodies come whole, whatever their size and the pieces that servers write
// them in, and the connection carries the next exchange. By HTTP/1.1, long ones need not be
// read.
func TestLongBodies(t *testing.T) {
	content := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{13})
	_, _ = random.Read(content)
	var connections sync.Map
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, true)
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		piece, _ := strconv.Atoi(r.URL.Query().Get("piece"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		for rest := content[:n]; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			_, _ = w.Write(rest[:min(piece, len(rest))])
			if piece < 1<<20 {
				_ = http.NewResponseController(w).Flush()
			}
		}
	})
	g := newRig(t, address, httpbackend.Options{})
	var passed atomic.Int64
	g.change = func(x *httpbackend.Exchange) { x.W = &passing{x.W, &passed} }
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for _, n := range []int{1, 4096, 16<<10 - 1, 16 << 10, 64<<10 + 1, 1 << 20, 5 << 20} {
			for _, piece := range []int{1 << 20, 20_000} {
				got := do(t, c, "GET", fmt.Sprintf("/?n=%d&piece=%d", n, piece), nil)
				if got.StatusCode != 200 || sha256.Sum256([]byte(got.body)) != sha256.Sum256(content[:n]) {
					t.Errorf("%d bytes in pieces of %d: %d, %d bytes", n, piece, got.StatusCode, len(got.body))
				}
			}
		}
	})
	if runtime.GOOS == "linux" && passed.Load() == 0 {
		t.Error("every byte was read")
	}
	n := 0
	connections.Range(func(any, any) bool { n++; return true })
	if n > 1 {
		t.Errorf("%d connections to the server, expected one for all", n)
	}
}

// TestLongBodyBroken: a long body that its server breaks off is one for the client, too,
// and a client that leaves ends it.
func TestLongBodyBroken(t *testing.T) {
	const length = 8 << 20
	left := make(chan bool, 16)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(length))
		_, _ = w.Write(bytes.Repeat([]byte("x"), length/2))
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
		left <- true
	})
	g := newRig(t, address, httpbackend.Options{})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for _, path := range []string{"/broken", "/left"} {
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if path == "/left" {
				if _, err := io.ReadFull(response.Body, make([]byte, length/2)); err != nil {
					t.Error(err)
				}
				cancel()
				<-left
			} else if n, err := io.Copy(io.Discard, response.Body); err == nil {
				t.Errorf("a broken body of %d bytes is a whole one", n)
			}
			cancel()
			_ = response.Body.Close()
		}
	})
	waitFor(t, "all exchanges to end", func() bool { return g.servers.active.Load() == 0 })
}
