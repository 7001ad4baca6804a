package httpbackend_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// pooled are buffers for httputil.ReverseProxy.
type pooled struct{ sync.Pool }

func (p *pooled) Get() []byte  { return *p.Pool.Get().(*[]byte) }
func (p *pooled) Put(b []byte) { p.Pool.Put(&b) }

// canned is a server that costs next to nothing: it sends the same answer to each head.
func canned(b *testing.B, answer []byte) string {
	return serveRaw(b, func(c net.Conn, r *bufio.Reader) {
		for {
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// BenchmarkForward measures a proxy between a client and a server that cost next to
// nothing, beside httputil.ReverseProxy with a BufferPool. cpu-ns/op is what the process
// took of all processors.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\nServer: x\r\nEtag: \"abc\"\r\nCache-Control: no-cache\r\nContent-Length: " +
			strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
		address := canned(b, answer)
		for _, proxy := range []string{"ReverseProxy", "Forward"} {
			b.Run(strconv.Itoa(size)+"/"+proxy, func(b *testing.B) {
				handler := reverse(address)
				if proxy == "Forward" {
					handler = forward(b, address)
				}
				measure(b, handler, len(answer))
			})
		}
	}
}

func reverse(address string) http.Handler {
	target := &url.URL{Scheme: "http", Host: address}
	buffers := &pooled{sync.Pool{New: func() any {
		buffer := make([]byte, 32<<10)
		return &buffer
	}}}
	return &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		BufferPool: buffers,
		Transport:  &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256},
	}
}

func forward(b *testing.B, address string) http.Handler {
	servers := &one{server: httpbackend.Server{Network: "tcp", Address: address, Authority: address}}
	u, err := httpbackend.NewPool("x").Get(httpbackend.Options{}, func(upstream.Target) (httpbackend.Servers, error) { return servers, nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(u.Release)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.Forward(r.Context(), &httpbackend.Exchange{W: w, R: r, Target: r.RequestURI, Host: r.Host})
	})
}

func measure(b *testing.B, handler http.Handler, length int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		_ = server.Shutdown(context.Background())
		<-served //nolint:errcheck // it says that it was closed
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	request := []byte("GET /path?query=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Language: en\r\nCookie: a=b\r\n\r\n")
	r := bufio.NewReaderSize(c, 64<<10)
	buffer := make([]byte, 64<<10)
	var before, after syscall.Rusage
	b.ReportAllocs()
	b.SetBytes(int64(length))
	b.ResetTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		size := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
			if value, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
				size, _ = strconv.Atoi(strings.TrimSpace(value))
			}
		}
		for size > 0 {
			n, err := r.Read(buffer[:min(size, len(buffer))])
			if err == io.EOF || n == 0 {
				b.Fatal("short")
			}
			size -= n
		}
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
}
