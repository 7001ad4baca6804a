package websocket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// readerConn is a connection of which only Read works.
type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// guarded reads all bytes through a guard and returns where it refused a
// message; -1 for nowhere.
func guarded(t testing.TB, r io.Reader, early string, limit int64, dropping bool) (all []byte, at int) {
	t.Helper()
	all, at, err := guardedBy(t, r, early, limit, false, dropping)
	if err != io.EOF && err != errCloseReason {
		t.Fatal(err)
	}
	return all, at
}

// guardedBy is guarded, with permessage-deflate or not, up to the first error.
func guardedBy(t testing.TB, r io.Reader, early string, limit int64, inflates, dropping bool) (all []byte, at int, err error) {
	t.Helper()
	rw := bufio.NewReadWriter(bufio.NewReader(strings.NewReader(early)), nil)
	if _, err := rw.Peek(len(early)); err != nil {
		t.Fatal(err)
	}
	_, rw = guardFrames(readerConn{Reader: r}, rw, limit, inflates, func() bool { return dropping })
	at = -1
	for {
		var b [100]byte
		n, err := rw.Read(b[:])
		all = append(all, b[:n]...)
		switch {
		case errors.Is(err, exchange.ErrTooLarge) && at < 0:
			at = len(all)
		case err != nil:
			return all, at, err
		}
	}
}

// passing is how much of the frames passes: a header passes as a whole, and so does a
// close frame, whose reason has to be UTF-8; behind a message too large all does.
func passing(b []byte, refused int) int {
	for at := 0; ; {
		if at >= refused && refused >= 0 {
			return len(b)
		}
		if len(b)-at < 2 || len(b)-at < headerLength(b[at:]) {
			return at
		}
		h, err := (&frameGuard{in: bufio.NewReader(bytes.NewReader(b[at:]))}).readHeader()
		if err != nil {
			return at
		}
		n := len(h.bytes)
		if h.opcode == opClose && h.sound && h.fin() && !h.rsv1() && h.payload < 126 {
			if int64(len(b)-at-n) < h.payload {
				return at
			}
			reason := bytes.Clone(b[at+n:][:h.payload])
			for i := range reason {
				reason[i] ^= h.bytes[n-4+i%4]
			}
			if len(reason) > 2 && !utf8.Valid(reason[2:]) {
				return at
			}
		}
		if at += n; int64(len(b)-at) <= h.payload {
			return len(b)
		}
		at += int(h.payload)
	}
}

// tooLargeAt goes through whole frames: it is behind the header of the first
// that makes a message too large.
func tooLargeAt(b []byte, limit int64) int {
	var message uint64
	compressed := false
	for at := 0; ; {
		if len(b)-at < 2 {
			return -1
		}
		first, second := b[at], b[at+1]
		at += 2
		length, extended := uint64(second&0x7f), 0
		switch length {
		case 126:
			extended = 2
		case 127:
			extended = 8
		}
		mask := int(second>>7) * 4
		if len(b)-at < extended+mask {
			return -1
		}
		if extended > 0 {
			var wide [8]byte
			copy(wide[8-extended:], b[at:at+extended])
			length = binary.BigEndian.Uint64(wide[:]) &^ (1 << 63)
		}
		at += extended + mask
		if first&0x0f < 8 {
			if first&0x0f != 0 {
				message, compressed = 0, first&0x40 != 0
			}
			if message += length; message > uint64(limit) && !compressed {
				return at
			}
		}
		if length > uint64(len(b)-at) {
			return -1
		}
		at += int(length)
	}
}

// FuzzFrameGuard holds that the guard changes no byte, and refuses where a plain
// reading of the whole does, however the bytes come.
func FuzzFrameGuard(f *testing.F) {
	short := frame(textFrame, "abc")
	for _, s := range []string{
		"", short, short + short, frame(closeFrame, ""), "\x01\x83\x00\x00\x00\x00abc" + "\x80\xff\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00",
		"\x81\xfe\x00\x40\x00\x00\x00\x00" + strings.Repeat("x", 64), "\xc1\xfe\x7f\xff\x00\x00\x00\x00", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "\x01\x9f\x00\x00\x00\x00" + strings.Repeat("x", 31) + frame(pongFrame, strings.Repeat("y", 90)) + "\x80\x82\x00\x00\x00\x00zz",
	} {
		f.Add([]byte(s), uint8(1), int64(32))
	}
	f.Fuzz(func(t *testing.T, b []byte, early uint8, limit int64) {
		if limit < 0 {
			return
		}
		want := tooLargeAt(b, limit)
		passed := b[:passing(b, want)]
		if want > len(passed) {
			want = -1 // the guard did not come as far
		}
		n := min(int(early), len(b))
		for name, r := range map[string]io.Reader{
			"at once": bytes.NewReader(b[n:]), "one byte at a time": iotest.OneByteReader(bytes.NewReader(b[n:])),
			"an error beside data": iotest.DataErrReader(bytes.NewReader(b[n:])),
		} {
			all, at := guarded(t, r, string(b[:n]), limit, false)
			if !bytes.Equal(all, passed) {
				t.Fatalf("%s: %q became %q", name, passed, all)
			}
			if at != want {
				t.Fatalf("%s: %q is refused at %d, want %d", name, b, at, want)
			}
		}
		if all, at := guarded(t, bytes.NewReader(b[n:]), string(b[:n]), limit, true); at != -1 || !bytes.Equal(all, b[:passing(b, -1)]) {
			t.Fatalf("%q: what is dropped is refused at %d", b, at)
		}
	})
}

// TestFrameTooLargeByItsHeader has a client that says how much will come, and
// sends nothing of it: the refusal does not wait for it.
func TestFrameTooLargeByItsHeader(t *testing.T) { overEach(t, testFrameTooLargeByItsHeader) }

func testFrameTooLargeByItsHeader(t *testing.T, connected connector) {
	for name, text := range map[string]string{
		"one frame":  "\x81\xff\x00\x00\x00\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"fragments":  "\x01\x80\x00\x00\x00\x00" + "\x00\xda\x00\x00\x00\x00" + strings.Repeat("x", 90) + "\x80\xda\x00\x00\x00\x00",
		"the second": frame(textFrame, `{"text":"a"}`) + "\x81\xfe\xff\xff\x00\x00\x00\x00",
	} {
		t.Run("Semantics 38: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, client := connected(t, "Discuss", transcoder.Settings{MaxMessage: 100})
				answer := make(chan string, 1)
				go func() {
					_, _ = io.WriteString(client, text)
					all, _ := io.ReadAll(client) // as much as comes
					answer <- string(all)
				}()
				_, err := d.Recv()
				if err == nil {
					_, err = d.Recv()
				}
				if status.Code(err) != codes.ResourceExhausted {
					t.Error(err)
				}
				start := time.Now()
				if d.Finish(err, metadata.MD{}); time.Since(start) > closeWait {
					t.Errorf("the end took %s", time.Since(start))
				}
				if all := <-answer; !strings.Contains(all, `{"error":{"code":8`) || !strings.Contains(all, "\x88$\x03\xf1") {
					t.Errorf("%q", all)
				}
				_ = client.Close()
			})
		})
	}
}

// TestDroppedFrames has a client that sends more than it may where nobody
// listens: it is not sent away for it.
func TestDroppedFrames(t *testing.T) { overEach(t, testDroppedFrames) }

func testDroppedFrames(t *testing.T, connected connector) {
	synctest.Test(t, func(t *testing.T) {
		d, ctx, client := connected(t, "WatchBooks", transcoder.Settings{MaxMessage: 100})
		go func() { _, _ = io.Copy(io.Discard, client) }()
		d.Unblock()
		if _, err := io.WriteString(client, "\x81\xfe\x03\xe8\x00\x00\x00\x00"+strings.Repeat("x", 1000)+frame(textFrame, "{}")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("the call was cancelled")
		}
		if err := d.Send(edge.Watched(t, 1)); err != nil {
			t.Error(err)
		}
		_ = client.Close()
		d.Finish(exchange.ErrUnblocked, nil)
	})
}

// BenchmarkFrameGuard goes through 4 KB of small frames.
func BenchmarkFrameGuard(b *testing.B) {
	frames := []byte(strings.Repeat(frame(textFrame, strings.Repeat("x", 58)), 64))
	source := bytes.NewReader(frames)
	g := frameGuard{limit: 1 << 20, in: bufio.NewReader(source)}
	b.SetBytes(int64(len(frames)))
	b.ReportAllocs()
	var p [4096]byte
	for b.Loop() {
		source.Reset(frames)
		g.in.Reset(source)
		for read := 0; read < len(frames); {
			n, err := g.Read(p[:])
			if err != nil {
				b.Fatal(err)
			}
			read += n
		}
	}
}
