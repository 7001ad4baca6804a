package websocket

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// deflatedFrame is a client's message under permessage-deflate (RFC 7692, 7.2.1).
func deflatedFrame(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	payload := bytes.TrimSuffix(out.Bytes(), []byte("\x00\x00\xff\xff"))
	frame := binary.BigEndian.AppendUint64([]byte("\xc1\xff"), uint64(len(payload)))
	return append(append(frame, 0, 0, 0, 0), payload...)
}

// TestInflatedMessages: a message of little that inflates to much costs a few times
// what it may inflate to, as the bytes are counted while they are inflated
// (Semantics 303).
func TestInflatedMessages(t *testing.T) {
	const limit = 4 << 20
	send := func(frame []byte, want codes.Code) int64 {
		d, _, client := connectedDeflating(t, "Discuss", limit)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		sent := make(chan struct{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go func() {
			defer close(sent)
			_, _ = client.Write(frame) // the refusal may come before its end
		}()
		f, err := d.Recv()
		runtime.ReadMemStats(&after)
		if status.Code(err) != want {
			t.Errorf("got %v, want %v", err, want)
		}
		f.Free()
		_ = client.Close() // nobody waits for the other's close frame
		<-sent
		d.Finish(err, metadata.MD{})
		return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // far below
	}
	good := func(size int) []byte {
		return deflatedFrame(t, `{"text":"`+strings.Repeat("x", size-len(`{"text":""}`))+`"}`)
	}
	bomb := deflatedFrame(t, strings.Repeat("x", 80<<20))
	if len(bomb) > 100<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	_ = send(good(1000), codes.OK) // pools
	for _, size := range []int{limit / 2, limit} {
		if cost := send(good(size), codes.OK); cost > 8*int64(size)+1<<20 {
			t.Errorf("%d KiB cost %d KiB", size>>10, cost>>10)
		}
	}
	for range 5 {
		if cost := send(bomb, codes.ResourceExhausted); cost > 8*limit+1<<20 {
			t.Errorf("a bomb costs %d KiB", cost>>10)
		}
	}
}
