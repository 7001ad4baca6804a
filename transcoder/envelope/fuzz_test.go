package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// naiveEnvelopes reads a body in the simplest way there is: the messages up to
// the first thing that is wrong, and whether all was right.
func naiveEnvelopes(body []byte, limit int, coding string) (messages [][]byte, whole bool) {
	for len(body) > 0 {
		if len(body) < 5 || body[0] > 1 || body[0] == 1 && coding == "" {
			return messages, false
		}
		size := binary.BigEndian.Uint32(body[1:])
		if uint64(size) > uint64(limit) || uint64(size) > uint64(len(body)-5) {
			return messages, false
		}
		message := body[5 : 5+size]
		if body[0] == 1 && size > 0 {
			z, err := naiveReader(coding, message)
			if err != nil {
				return messages, false
			}
			if message, err = io.ReadAll(io.LimitReader(z, int64(limit)+1)); err != nil || len(message) > limit {
				return messages, false
			}
		}
		messages = append(messages, message)
		body = body[5+size:]
	}
	return messages, true
}

// naiveReader decompresses a message with the packages as they are.
func naiveReader(coding string, message []byte) (io.Reader, error) {
	switch coding {
	case "gzip":
		return gzip.NewReader(bytes.NewReader(message))
	case "zstd":
		return zstd.NewReader(bytes.NewReader(message), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(compression.MaxWindow))
	}
	return brotli.NewReader(bytes.NewReader(message)), nil
}

// readEnvelopes does the same with the reader that is tested.
func readEnvelopes(t *testing.T, src io.Reader, limit int, coding string) (messages [][]byte, whole bool) {
	t.Helper()
	var e envelopeReader
	e.begin(src, int64(limit), codes.Internal)
	e.zip = compression.Named(coding)
	for {
		f, err := e.next()
		if err == io.EOF {
			return messages, true
		}
		if err != nil {
			if code := status.Code(err); code != codes.Internal && code != codes.ResourceExhausted {
				t.Fatalf("the error is %v", err)
			}
			return messages, false
		}
		messages = append(messages, bytes.Clone(f.Bytes()))
		f.Free()
	}
}

func compareMessages(t *testing.T, want, got [][]byte, wantWhole, gotWhole bool) {
	t.Helper()
	if wantWhole != gotWhole || len(want) != len(got) {
		t.Fatalf("got %d messages, whole: %v; want %d, %v", len(got), gotWhole, len(want), wantWhole)
	}
	for i := range want {
		if !bytes.Equal(want[i], got[i]) {
			t.Fatalf("message %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

// However the body arrives, its messages are those of the naive reader.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x03abc"), true)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01x"), false)
	f.Add([]byte("\x00\xff\xff\xff\xff"), false)
	f.Add([]byte("\x01\x00\x00\x00\x01x"), true)
	f.Add([]byte("\x02\x00\x00\x00\x00"), true)
	f.Add([]byte("\x00\x00\x00"), true)
	f.Add(append([]byte("\x00\x00\x01\x00\x00"), make([]byte, 1<<16)...), false)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(make([]byte, 100_000)) // a buffer takes all
	_ = z.Close()
	f.Add(append(binary.BigEndian.AppendUint32([]byte{1}, uint32(zipped.Len())), zipped.Bytes()...), true)
	for _, name := range []string{"zstd", "br"} {
		zipped.Reset()
		if err := (&transcoder.Text{Short: farBack(50_000)}).Compress(compression.Named(name), &zipped); err != nil {
			f.Fatal(err)
		}
		f.Add(append(binary.BigEndian.AppendUint32([]byte{1}, uint32(zipped.Len())), zipped.Bytes()...), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, zipped bool) {
		const limit = 1 << 16
		codings := []string{""}
		if zipped {
			codings = []string{"gzip", "zstd", "br"}
		}
		for _, coding := range codings {
			want, whole := naiveEnvelopes(body, limit, coding)
			got, gotWhole := readEnvelopes(t, bytes.NewReader(body), limit, coding)
			compareMessages(t, want, got, whole, gotWhole)
			if len(body) < 1<<12 {
				got, gotWhole = readEnvelopes(t, iotest.OneByteReader(bytes.NewReader(body)), limit, coding)
				compareMessages(t, want, got, whole, gotWhole)
			}
		}
	})
}

// naiveBase64 decodes four characters after four, the last ones also without
// padding.
func naiveBase64(s string) (string, bool) {
	s = strings.NewReplacer("\r", "", "\n", "").Replace(s)
	var out strings.Builder
	for ; len(s) >= 4; s = s[4:] {
		b, err := base64.StdEncoding.DecodeString(s[:4])
		if err != nil {
			return "", false
		}
		out.Write(b)
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	out.Write(b)
	return out.String(), err == nil
}

func FuzzBase64Body(f *testing.F) {
	for _, s := range []string{"", "QQ==", "QQ==QUI=QUJD", "QUJDRA", "Q", "Q===", "====", "QUJD\r\nQUJD", "QU=D", "*", strings.Repeat("QUJD", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, ok := naiveBase64(s)
		for _, src := range []io.Reader{strings.NewReader(s), iotest.OneByteReader(strings.NewReader(s)), iotest.DataErrReader(strings.NewReader(s))} {
			var b base64Reader
			b.begin(src)
			got, err := io.ReadAll(&b)
			if (err == nil) != ok || ok && string(got) != want {
				t.Fatalf("got %q %v, want %q %v", got, err, want, ok)
			}
		}
	})
}

// What is written as text reads back, whatever pieces it is written in.
func FuzzBase64Writer(f *testing.F) {
	f.Add([]byte("abcdefgh"), uint8(3), uint8(5))
	f.Add(make([]byte, 300), uint8(100), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, piece, ends uint8) {
		var out bytes.Buffer
		var w base64Writer
		w.begin(&out)
		for i, rest := 0, data; len(rest) > 0; i++ {
			n := min(int(piece)+1, len(rest))
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write: %d, %v", m, err)
			}
			rest = rest[n:]
			if ends > 0 && i%int(ends) == 0 {
				if err := w.end(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		got, ok := naiveBase64(out.String())
		if !ok || got != string(data) || out.Len()%4 != 0 {
			t.Fatalf("got %q %v, want %q", got, ok, data)
		}
	})
}

func FuzzConnectGet(f *testing.F) {
	for _, q := range []string{
		"connect=v1&encoding=json&message={}", "connect=v1&message=", "connect=v1&base64=1&message=_-8=", "connect=v1&base64=1&message=%zz",
		"connect=v1&message=a&message=b", "connect=v2", "a;b", "connect=v1&base64=2&message=",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseConnectGet(raw)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if len(q.message) > len(raw) {
			t.Fatalf("%d bytes became %d", len(raw), len(q.message))
		}
	})
}

// Whatever a backend says, the last message of a Connect stream is JSON.
func FuzzConnectEnd(f *testing.F) {
	f.Add(uint32(5), "gone", "type.googleapis.com/google.rpc.ErrorInfo", []byte("\x0a\x01x"), "a", "b")
	f.Add(uint32(5002), "\xff\x00", "x", []byte{0xff}, "a-bin", "\xff")
	f.Add(uint32(0), "", "", []byte(nil), "grpc-status", "\n")
	plan := jsonwire.NewPlans(nil).Message((&spb.Status{}).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, code uint32, message, detailType string, detail []byte, name, value string) {
		st := status.FromProto(&spb.Status{
			Code: int32(code), Message: message, Details: []*anypb.Any{{TypeUrl: detailType, Value: detail}},
		})
		text := newConnectEnd(plan, st.Err(), metadata.MD{name: {value}}).append(nil)
		var end connectEnd
		if err := json.Unmarshal(text, &end); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if code != 0 && (end.Error == nil || len(end.Error.Details) != 1) {
			t.Fatalf("got %s", text)
		}
	})
}

// A grpc-message is printable, and percent-decoding gives the message back.
func FuzzGRPCMessage(f *testing.F) {
	for _, s := range []string{"", "plain", "100 %", "ü\n\x7f", "%41", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := rpcerror.EncodeMessage(s)
		if !transcoder.Printable(encoded) {
			t.Fatalf("%q is not printable", encoded)
		}
		var decoded []byte
		for i := 0; i < len(encoded); i++ {
			c := encoded[i]
			if c == '%' {
				n := strings.IndexByte("0123456789ABCDEF", encoded[i+1])*16 + strings.IndexByte("0123456789ABCDEF", encoded[i+2])
				c = byte(n)
				i += 2
			}
			decoded = append(decoded, c)
		}
		if string(decoded) != s {
			t.Fatalf("%q became %q", s, decoded)
		}
	})
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
