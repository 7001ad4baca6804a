package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of Node that answers consist of.
const (
	childrenField = 3
	widesField    = 4
)

// bombs lists them. Each is made here, of a few lines.
func bombs() []bomb {
	wides := func(size int) []byte {
		return []byte(`{"wides":[` + strings.Repeat("{},", size/3) + `{}]}`)
	}
	text := func(size int) []byte {
		return []byte(`{"text":"` + strings.Repeat("a", size) + `"}`)
	}
	return []bomb{
		posted("dotted names, 50,000 deep, in a form", "application/x-www-form-urlencoded", false, []byte(strings.Repeat("child.", 50_000)+"text=1")),
		posted("dotted names, 100,000 deep, in a form", "application/x-www-form-urlencoded", false, []byte(strings.Repeat("child.", 100_000)+"text=1")),
		posted("gzip of a string of 4 MB", "application/json", true, text(4<<20-100)),
		posted("gzip of a string of 64 MB, above the limit", "application/json", true, text(64<<20)),
		posted("gzip of many empty messages", "application/json", true, wides(900_000)),
		posted("many empty messages", "application/json", false, wides(4<<20-100)),
		answered("an answer of 1 MB that is much JSON", widesField, 1<<20),
		answered("an answer of 3 MB that is 60 MB of JSON", childrenField, 3<<20),
		answered("an answer of 4 MB that is too much JSON", childrenField, 4<<20-100),
		socketBomb("WebSocket: 20 messages that inflate to 80 MB each, above the limit", 20, 80<<20),
		socketBomb("WebSocket: 20 messages that inflate to 4 MB each", 20, 4<<20-100),
		windowBomb("zstd: 50 windows of 4 MB, then silence", 50),
	}
}

// posted is a body, compressed or not.
func posted(label, contentType string, compressed bool, body []byte) bomb {
	b := bomb{label: label, inflated: len(body)}
	encoding := ""
	if compressed {
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one of its own
		_, _ = w.Write(body)                                    // a bytes.Buffer takes all
		_ = w.Close()
		body, encoding = out.Bytes(), "gzip"
	}
	b.sent = len(body)
	b.send = func(ctx context.Context, address string) (string, func(), error) {
		said, err := bombRequest(ctx, address, http.MethodPost, "/v1/nodes", contentType, encoding, body)
		return said, func() {}, err
	}
	return b
}

// answered is an answer of the backend's of so many bytes.
func answered(label string, field protowire.Number, size int) bomb {
	path := fmt.Sprintf("/v1/answers/%d/%d", field, size)
	return bomb{label: label, sent: len(path), inflated: size, send: func(ctx context.Context, address string) (string, func(), error) {
		said, err := bombRequest(ctx, address, http.MethodGet, path, "application/json", "", nil)
		return said, func() {}, err
	}}
}

// socketBomb is one compressed message on each of some WebSockets, one after the
// other.
func socketBomb(label string, sockets, size int) bomb {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression) // the level is one of its own
	_, _ = io.WriteString(w, `{"text":"`)                // a bytes.Buffer takes all
	chunk := bytes.Repeat([]byte("a"), 1<<16)
	for left := size - len(`{"text":""}`); left > 0; left -= len(chunk) {
		_, _ = w.Write(chunk[:min(left, len(chunk))])
	}
	_, _ = io.WriteString(w, `"}`)
	_ = w.Flush()
	payload := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff})
	const compressedText, masked, long = 0xc1, 0x80, 127
	frame := binary.BigEndian.AppendUint64([]byte{compressedText, masked | long}, uint64(len(payload)))
	frame = append(append(frame, 0, 0, 0, 0), payload...) // the mask is zero: the bytes stay as they are
	return bomb{label: label, sent: sockets * len(frame), inflated: sockets * size, count: sockets, send: func(ctx context.Context, address string) (string, func(), error) {
		said := ""
		for range sockets {
			s, err := openBombed(ctx, address)
			if err != nil {
				return "", nil, err
			}
			_, err = s.conn.Write(frame)
			if err == nil {
				said, err = s.firstWord()
			}
			if err := errors.Join(err, s.conn.Close()); err != nil {
				return "", nil, err
			}
		}
		return said, func() {}, nil
	}}
}

// firstWord is what the gateway says first: an answer, an error, or a close code.
func (s *socket) firstWord() (string, error) {
	var head [10]byte
	if _, err := io.ReadFull(s.reader, head[:2]); err != nil {
		return "", err
	}
	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		if _, err := io.ReadFull(s.reader, head[2:4]); err != nil {
			return "", err
		}
		length = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		if _, err := io.ReadFull(s.reader, head[2:10]); err != nil {
			return "", err
		}
		length = binary.BigEndian.Uint64(head[2:])
	}
	if head[0]&0x0f != 8 {
		begin, _ := s.reader.Peek(int(min(length, 8)))          //nolint:gosec // 8 at most; the next line has its error
		_, err := io.CopyN(io.Discard, s.reader, int64(length)) //nolint:gosec // the gateway's own frames
		if bytes.HasPrefix(begin, []byte(`{"error"`)) {
			return "an error", err
		}
		return "an answer", err
	}
	var code [2]byte
	if _, err := io.ReadFull(s.reader, code[:]); err != nil {
		return "", err
	}
	return fmt.Sprint("closed, ", binary.BigEndian.Uint16(code[:])), nil
}

// windowBomb is the begin of a zstd frame that announces a window of 4 MB and has a
// block of 256 bytes, on each of some connections, and nothing more.
func windowBomb(label string, connections int) bomb {
	const window = 4 << 20
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 12 << 3} // 2^(10+12) bytes
	frame = append(frame, 0, 256<<3>>8, 0)              // a raw block of 256 bytes, not the last
	frame = append(frame, bytes.Repeat([]byte(" "), 256)...)
	head := "POST /v1/nodes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: 100000\r\n\r\n"
	text := append([]byte(head), frame...)
	return bomb{label: label, sent: connections * len(text), inflated: connections * window, count: connections, send: func(ctx context.Context, address string) (string, func(), error) {
		var open []net.Conn
		end := func() {
			for _, conn := range open {
				_ = conn.Close()
			}
		}
		for range connections {
			conn, err := openRaw(ctx, address, text)
			if err != nil {
				end()
				return "", nil, err
			}
			open = append(open, conn)
		}
		return "waits", end, nil
	}}
}

// startBombBackend is a gRPC server that costs the gateway's machine little: it
// answers bytes as they came, or as many as it is asked for.
func startBombBackend() (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(answerBomb)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends by Close
	}()
	return listener.Addr().String(), func() {
		_ = server.Close()
		<-done
	}, nil
}

func answerBomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	defer w.Header().Set("Grpc-Status", "0")
	if !strings.HasSuffix(r.URL.Path, "/Answer") {
		_, _ = io.Copy(w, r.Body) // where it ends, the gateway has gone
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 100))
	if err != nil || len(body) < 5 {
		return
	}
	var field, size uint64
	for fields := body[5:]; len(fields) > 0; {
		number, _, n := protowire.ConsumeTag(fields)
		value, m := protowire.ConsumeVarint(fields[max(n, 0):])
		if n < 0 || m < 0 {
			return
		}
		if number == 1 {
			field = value
		} else {
			size = value
		}
		fields = fields[n+m:]
	}
	empty := []byte{byte(field<<3 | 2), 0}
	message := bytes.Repeat(empty, int(min(size, 1<<30))/len(empty))
	answer := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	_, _ = w.Write(append(answer, message...)) // where it fails, the gateway has gone
}
