package envelope

import (
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
)

// greedy notes how much memory its reader was ready to fill.
type greedy struct {
	src io.Reader
	max int
}

func (g *greedy) Read(p []byte) (int, error) {
	g.max = max(g.max, len(p))
	return g.src.Read(p)
}

// Semantics 51: a prefix that announces much buys little memory.
func TestEnvelopeAnnouncementIsFree(t *testing.T) {
	g := &greedy{src: strings.NewReader("\x00\x00\x40\x00\x00" + "x")}
	var e envelopeReader
	e.begin(g, 4<<20, codes.Internal)
	if _, err := e.next(); status.Code(err) != codes.Internal {
		t.Errorf("got %v, want INTERNAL", err)
	}
	if g.max > laterPiece {
		t.Errorf("%d bytes were taken for it", g.max)
	}
}

// What broke off is told from what is wrong.
func TestEnvelopeBodyFails(t *testing.T) {
	for _, body := range []string{"", "\x00\x00", "\x00\x00\x00\x00\x05ab", "\x01\x00\x00\x00\x20\x1f\x8b\x08"} {
		var e envelopeReader
		e.begin(io.MultiReader(strings.NewReader(body), broken{}), 1<<20, codes.Internal)
		e.zip = compression.Named("gzip")
		if _, err := e.next(); err != errClientGone {
			t.Errorf("%q: got %v, want CANCELED", body, err)
		}
	}
}

// broken is a connection that broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A client that is gone is told from an answer that cannot be written.
func TestEnvelopeWriterFails(t *testing.T) {
	var e envelopeWriter
	e.begin(failing{})
	f := proxy.NewFrame([]byte("abc"))
	defer f.Free()
	if err := e.frame(&f); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELED", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func BenchmarkEnvelope(b *testing.B) {
	body := strings.Repeat("\x00\x00\x00\x00\x64"+strings.Repeat("x", 100), 1000)
	var e envelopeReader
	w := envelopeWriter{dst: io.Discard}
	b.ReportAllocs()
	for b.Loop() {
		e.begin(strings.NewReader(body), 1<<20, codes.Internal)
		for range 1000 {
			f, err := e.next()
			if err != nil {
				b.Fatal(err)
			}
			if err := w.frame(&f); err != nil {
				b.Fatal(err)
			}
			f.Free()
		}
	}
}
