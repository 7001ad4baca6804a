package compression

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// zstdFrame compresses pieces, each of which is flushed into a block of its own.
func zstdFrame(t testing.TB, window int, pieces ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if _, err := z.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// farBack is data whose second half repeats the first: a match as far back as it
// gets.
func farBack(size int) []byte {
	b := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(b[:size/2]) // never fails
	copy(b[size/2:], b)
	return b
}

// The windows grow without anybody noticing.
func TestZstdReader(t *testing.T) {
	for _, window := range []int{1 << 10, 256 << 10, 8 << 20} {
		for _, size := range []int{0, 1, 1000, 100_000, 1 << 20, 5 << 20} {
			want := farBack(size)
			whole := zstdFrame(t, window, want[:size/3], want[size/3:])
			two := append(append(bytes.Clone(whole), "\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"...), whole...)
			for name, src := range map[string]io.Reader{"": bytes.NewReader(whole), "at random": iotest.HalfReader(bytes.NewReader(whole))} {
				got, err := io.ReadAll(newZstdReader(src))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("window %d, %d bytes %s: got %d bytes and %v", window, size, name, len(got), err)
				}
			}
			got, err := io.ReadAll(newZstdReader(bytes.NewReader(two)))
			if err != nil || len(got) != 2*len(want) || !bytes.HasSuffix(got, want) {
				t.Errorf("window %d, two frames of %d bytes: got %d bytes and %v", window, size, len(got), err)
			}
		}
	}
}

func TestZstdReaderRefuses(t *testing.T) {
	good := zstdFrame(t, 1<<20, []byte("abc"))
	all, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	single := all.EncodeAll([]byte(strings.Repeat("abc", 200)), nil)
	longer := bytes.Clone(single)
	binary.LittleEndian.PutUint16(longer[5:], 601-256)
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"another format":        {[]byte("\x1f\x8b\x08\x00\x00\x00"), errZstdMagic},
		"rubbish after a frame": {append(bytes.Clone(good), "rubbish"...), errZstdMagic},
		"a window of 9 MiB":     {[]byte("\x28\xb5\x2f\xfd\x00\x69\x01\x00\x00"), errZstdWindow},
		"a frame of 16 MiB":     {[]byte("\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x01\x01\x00\x00"), errZstdWindow},
		"a dictionary":          {[]byte("\x28\xb5\x2f\xfd\x01\x50\x07\x01\x00\x00"), errZstdDict},
		"a block of 256 KiB":    {[]byte("\x28\xb5\x2f\xfd\x00\x50\x01\x00\x20"), errZstdBlock},
		"a wrong size":          {longer, errZstdSize},
		"no frame":              {nil, nil},
		"a cut header":          {good[:3], io.ErrUnexpectedEOF},
		"a cut skippable frame": {[]byte("\x50\x2a\x4d\x18\x09\x00\x00\x00a"), io.ErrUnexpectedEOF},
		"no end":                {good[:len(good)-1], io.ErrUnexpectedEOF},
	} {
		if _, err := io.ReadAll(newZstdReader(bytes.NewReader(test.data))); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if _, err := io.ReadAll(newZstdReader(io.MultiReader(bytes.NewReader(good[:8]), broken{}))); err != io.ErrClosedPipe {
		t.Errorf("a broken connection: got %v", err)
	}
}

// A reader holds what has come and a few times what became of it, whatever window
// the header names (Semantics 303).
func TestZstdReaderHolds(t *testing.T) {
	frame := zstdFrame(t, 8<<20, []byte("abc"), []byte("def"))
	const readers = 20
	for name, sent := range map[string]struct{ bytes, content, most int }{
		"the header":    {8, 0, 64 << 10},
		"two blocks":    {len(frame) - 7, 6, 640 << 10},
		"half a header": {5, 0, 64 << 10},
	} {
		var open []io.ReadCloser
		before := liveBytes()
		for range readers {
			z, w := io.Pipe()
			d := newZstdReader(z)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.ReadFull(d, make([]byte, sent.content+1)) // fails in the end
			}()
			for _, b := range [][]byte{frame[:sent.bytes], nil} { // the second returns when more is wanted
				if _, err := w.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			open = append(open, z)
			t.Cleanup(func() { <-done })
		}
		if held := (liveBytes() - before) / readers; held > int64(sent.most) {
			t.Errorf("%s: a reader holds %d KiB", name, held>>10)
		}
		for _, z := range open {
			_ = z.Close() // ends the reading
		}
	}
}

// Frames of many blocks without content grow what is kept no further than the
// largest window; a frame twice as long costs twice as much.
func TestZstdReaderAllocates(t *testing.T) {
	cost := func(size int) uint64 {
		frame := zstdFrame(t, 8<<20, farBack(size))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if n, err := io.Copy(io.Discard, newZstdReader(bytes.NewReader(frame))); err != nil || n != int64(size) {
			t.Fatalf("got %d bytes and %v", n, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	_ = cost(1 << 20) // pools
	if n, m := cost(4<<20), cost(8<<20); m > 4*n+(1<<20) || m > 8*(8<<20) {
		t.Errorf("4 MiB allocate %d KiB, 8 MiB %d KiB", n>>10, m>>10)
	}
	empty := append([]byte("\x28\xb5\x2f\xfd\x00\x68"), make([]byte, 9<<20)...)
	z := newZstdReader(bytes.NewReader(empty))
	if _, err := io.ReadAll(z); err != io.ErrUnexpectedEOF || cap(z.input) > MaxWindow {
		t.Errorf("got %v, and %d bytes are kept", err, cap(z.input))
	}
}

func liveBytes() int64 {
	runtime.GC()
	runtime.GC() // pools give up what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// What the decoder makes of a frame is what this reader makes of it.
func FuzzZstdReader(f *testing.F) {
	f.Add(zstdFrame(f, 1<<10, []byte("abc"), nil, []byte("abcabcabc")))
	f.Add(zstdFrame(f, 8<<20, farBack(3000), farBack(3000)))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x68\x02\x00\x10\x61\x02\x00\x10\x61\x03\x00\x10\x61"))
	f.Add([]byte("\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		want, wantErr := io.ReadAll(io.LimitReader(d, limit))
		z := newZstdReader(iotest.HalfReader(bytes.NewReader(data)))
		got, gotErr := io.ReadAll(io.LimitReader(z, limit))
		_ = z.Close()
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("got %v, want %v", gotErr, wantErr)
		}
		if wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	})
}

// broken is a connection that broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
