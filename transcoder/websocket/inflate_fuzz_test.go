package websocket

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzCompressedFrames holds that it does not matter in which pieces frames come, that
// no compressed message reaches the library, and that nothing becomes more than its
// limit and deflate allow.
func FuzzCompressedFrames(f *testing.F) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	final := "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
	two := "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
	compressed := func(first byte, payload string) string {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	for _, s := range []string{
		compressed(0xc1, hello), compressed(0xc1, final) + frame(textFrame, "abc"), compressed(0xc2, two), compressed(0xc1, ""),
		compressed(0x41, hello[:3]) + frame(pongFrame, "") + compressed(0x80, hello[3:]),
		compressed(0x41, hello) + frame(textFrame, "abc"), compressed(0x41, hello) + compressed(0xc0, hello), compressed(0xc1, "\xff\xff"),
		compressed(0xc1, strings.Repeat("\x03\x00", 40)), compressed(0xe1, hello), "\xc1\x07" + hello, "\xc1\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"\xc1\xff\x00\x00\x00\x7f\xff\xff\xff\xff\x00\x00\x00\x00" + hello, compressed(0xc1, hello[:4]) + frame(closeFrame, "\x03\xe8\xff"),
		frame(closeFrame, "\x03\xe8bye") + "x", "\xc9\x80\x00\x00\x00\x00",
	} {
		f.Add([]byte(s), int64(32))
		f.Add([]byte(s), int64(4))
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		if limit < 0 {
			return
		}
		all, at, err := guardedBy(t, bytes.NewReader(b), "", limit, true, false)
		others, otherAt, otherErr := guardedBy(t, iotest.OneByteReader(bytes.NewReader(b)), "", limit, true, false)
		if !bytes.Equal(all, others) || at != otherAt || (err == nil) != (otherErr == nil) || err != nil && err.Error() != otherErr.Error() {
			t.Fatalf("%q becomes %q, %d, %v, and byte by byte %q, %d, %v", b, all, at, err, others, otherAt, otherErr)
		}
		if len(all) > len(b)*1100+100 {
			t.Fatalf("%d bytes become %d", len(b), len(all))
		}
		for rest := all; at < 0; {
			h, err := (&frameGuard{in: bufio.NewReader(bytes.NewReader(rest))}).readHeader()
			if err != nil {
				break
			}
			if h.rsv1() && h.sound && (h.opcode == 1 || h.opcode == 2) {
				t.Fatalf("%q becomes %q", b, all)
			}
			rest = rest[min(int64(len(rest)), int64(len(h.bytes))+min(h.payload, int64(len(rest)))):]
		}
	})
}

// FuzzDeflateOffer makes of any offers one that is plain, or none.
func FuzzDeflateOffer(f *testing.F) {
	for _, seed := range []string{
		"", "permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=99, permessage-deflate",
		`a; b="c, permessage-deflate"`, `a; b="\", permessage-deflate"`, "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", ",,;;==", "permessage-deflate;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, offers string) {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Extensions": {offers}}}
		offer, window := offering(r)
		got := offer.Header["Sec-Websocket-Extensions"]
		if len(got) > 1 || len(got) == 1 && got[0] != deflateName || window && len(got) == 0 {
			t.Fatalf("%q: %q", offers, got)
		}
		if len(got) == 1 && !strings.Contains(offers, deflateName) || window && !strings.Contains(offers, "15") {
			t.Fatalf("%q is taken for an offer", offers)
		}
		if r.Header["Sec-Websocket-Extensions"][0] != offers {
			t.Fatal("the request was changed")
		}
	})
}

// TestCutOffDeflate: a compressed message whose deflate does not come to an end is no
// shorter message (Semantics 38).
func TestCutOffDeflate(t *testing.T) {
	whole := deflatedFrame(t, `{"text":"`+strings.Repeat("abcdefgh", 8)+`"}`)[14:]
	for n := range len(whole) - 1 {
		cut := string([]byte{0xc1, 0x80 | byte(n), 0, 0, 0, 0}) + string(whole[:n])
		_, _, err := guardedBy(t, strings.NewReader(cut), "", 1000, true, false)
		if n > 0 && (err == io.EOF || err == nil) {
			t.Errorf("%d bytes of %d are taken for a message", n, len(whole))
		}
	}
}
