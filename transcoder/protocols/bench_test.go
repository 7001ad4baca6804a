package protocols

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// discard is a server's half of an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) WriteHeader(int)             {}
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) FlushError() error           { return nil }

// unaryCase is a unary call in one of the protocols.
type unaryCase struct {
	name, contentType string
	body              []byte
}

func unaryCases() []unaryCase {
	return []unaryCase{
		{"REST", "application/json", []byte(`{"name":"shelves/1"}`)},
		{"gRPC", "application/grpc", []byte("\x00\x00\x00\x00\x0b\x0a\x09shelves/1")},
		{"gRPC-Web", "application/grpc-web+proto", []byte("\x00\x00\x00\x00\x0b\x0a\x09shelves/1")},
	}
}

// unaryCalls returns a function that runs one call.
func unaryCalls(tb testing.TB, c unaryCase) func() {
	tb.Helper()
	binding := edge.Bookstore(tb, "GetShelf", transcoder.Settings{})
	reply, err := proto.Marshal(&pb.Shelf{Name: "shelves/1", Theme: "x"})
	if err != nil {
		tb.Fatal(err)
	}
	body := bytes.NewReader(c.body)
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, "/", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	r.Body, r.ContentLength, r.ProtoMajor = io.NopCloser(body), int64(len(c.body)), 2
	r.Header.Set("Content-Type", c.contentType)
	w := discard{http.Header{}}
	var readings exchange.Readings
	protocol := Table.Detect(r)
	return func() {
		body.Reset(c.body)
		clear(w.header)
		d := protocol.Open(binding, exchange.Exchange{W: exchange.FrontOf(w), R: r, Readings: &readings})
		ctx, err := d.Open(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		_ = ctx
		f, err := d.Recv()
		if err != nil {
			tb.Fatal(err)
		}
		f.Free()
		d.Header(nil)
		if err := d.Send(proxy.NewFrame(reply)); err != nil {
			tb.Fatal(err)
		}
		if code := d.Finish(nil, nil); code != http.StatusOK {
			tb.Fatal(code)
		}
	}
}

// BenchmarkUnary is the edge's part of a unary call.
func BenchmarkUnary(b *testing.B) {
	for _, c := range unaryCases() {
		b.Run(c.name, func(b *testing.B) {
			call := unaryCalls(b, c)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
