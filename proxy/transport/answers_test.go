package transport_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scriptedAnswer is a server that answers one call, and what comes of it.
type scriptedAnswer struct {
	name   string
	answer func(s *rawServer, id uint32)
	code   codes.Code
	says   string
	theirs codes.Code // where grpc-go differs, for the reason in why
	why    string
}

// listen starts the server and returns its address.
func (a *scriptedAnswer) listen(t *testing.T) string {
	return listen(t, func(s *rawServer) {
		s.greet()
		a.answer(s, s.request())
		s.drain()
	})
}

// answers are what servers answer a unary call with, good and bad, and what the
// caller is to see. Ours and grpc-go's are to agree on the code, unless theirs
// says why not.
var answers = []scriptedAnswer{
	{name: "an answer", answer: func(s *rawServer, id uint32) { s.answer(id, "") }},
	{name: "padding", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteDataPadded(id, false, messages("")[:3], make([]byte, 200))
		_ = s.WriteDataPadded(id, false, messages("")[3:], nil)
		s.end(id)
	}},
	{name: "a byte at a time", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		for _, b := range messages("") {
			_ = s.WriteData(id, false, []byte{b})
			_ = s.WriteData(id, false, nil)
		}
		s.end(id)
	}},
	{name: "a header block in pieces", answer: func(s *rawServer, id uint32) {
		block := s.fields(":status", "200", "content-type", "application/grpc+proto", "long", strings.Repeat("x", 100))
		_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1]})
		_ = s.WriteContinuation(id, false, block[1:20])
		_ = s.WriteContinuation(id, true, block[20:])
		s.message(id, "")
		s.end(id)
	}},
	{name: "messages in JSON", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "200", "content-type", "application/grpc+json")
		s.message(id, "{}")
		s.end(id)
	}, code: codes.Unknown, says: "does not speak gRPC", theirs: codes.Internal, why: "it leaves that to its codec"},
	{name: "an interim response", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "103", "link", "</a>")
		s.answer(id, "")
	}},
	{name: "an unknown frame", answer: func(s *rawServer, id uint32) {
		_ = s.WriteRawFrame(0xaa, 0xff, id, []byte("whatever"))
		s.answer(id, "")
	}},
	{name: "a status", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.end(id, "grpc-status", "5", "grpc-message", "no %22book%22 %e2%82%ac %zz")
	}, code: codes.NotFound, says: `no "book" € %zz`},
	{name: "trailers only", answer: func(s *rawServer, id uint32) {
		s.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "7", "grpc-message", "no")
	}, code: codes.PermissionDenied, says: "no"},
	{name: "a status beyond the known", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.end(id, "grpc-status", "99", "grpc-message", "odd")
	}, code: codes.Code(99), says: "odd"},
	{name: "a status that is no number", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.end(id, "grpc-status", "fine")
	}, code: codes.Unknown, says: "want a number"},
	{name: "no status", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.end(id, "other", "1")
	}, code: codes.Unknown, says: "without a status"},
	{name: "no trailers", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, true, messages(""))
	}, code: codes.Internal, says: "without a status"},
	{name: "no message", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.end(id)
	}, code: codes.Unimplemented, says: "without an answer", theirs: codes.Internal, why: "it does not follow gRPC's table of codes"},
	{name: "two messages", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.message(id, "", "")
		s.end(id)
	}, code: codes.Unimplemented, says: "more than one answer", theirs: codes.Internal, why: "it does not follow gRPC's table of codes"},
	{name: "half a message", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, false, []byte{0, 0, 0, 0, 2, 'a'})
		s.end(id)
	}, code: codes.Internal, says: "within a message"},
	{name: "half a prefix", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, false, []byte{0, 0})
		s.end(id)
	}, code: codes.Internal, says: "within a message"},
	{name: "compressed", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "200", "content-type", "application/grpc", "grpc-encoding", "gzip")
		_ = s.WriteData(id, false, []byte{1, 0, 0, 0, 1, 'a'})
		s.end(id)
	}, code: codes.Internal, says: `compressed its answer with "gzip"`},
	{name: "an odd flag", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, false, []byte{7, 0, 0, 0, 1, 'a'})
		s.end(id)
	}, code: codes.Internal, says: "flag 7"},
	{name: "too large", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, false, []byte{0, 0xff, 0xff, 0xff, 0xff, 'a'})
	}, code: codes.ResourceExhausted, says: "4294967295 bytes, the limit is 100000"},
	{name: "a message before the header", answer: func(s *rawServer, id uint32) {
		s.message(id, "")
		s.answer(id, "")
	}, code: codes.Internal, says: "before its header"},
	{name: "trailers that do not end", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		s.headers(id, false, "grpc-status", "0")
	}, code: codes.Internal, says: "trailers that do not end the call"},
	{name: "a page", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "404", "content-type", "text/html")
		_ = s.WriteData(id, true, []byte("<h1>not here</h1>"))
	}, code: codes.Unimplemented, says: "does not speak gRPC"},
	{name: "a proxy's 503", answer: func(s *rawServer, id uint32) {
		s.headers(id, true, ":status", "503", "content-type", "text/plain")
	}, code: codes.Unavailable, says: "does not speak gRPC"},
	{name: "too much metadata", answer: func(s *rawServer, id uint32) {
		block := s.fields(":status", "200", "content-type", "application/grpc")
		_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block})
		for range 100 {
			_ = s.WriteContinuation(id, false, s.fields("long", strings.Repeat("x", 12000)))
		}
		_ = s.WriteContinuation(id, true, nil)
		s.message(id, "")
		s.end(id)
	}, code: codes.Internal, says: "larger than 1 MiB", theirs: codes.OK, why: "its bound is 16 MiB"},
	{name: "metadata that is no base64", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "200", "content-type", "application/grpc", "a-bin", "%%")
		s.message(id, "")
		s.end(id)
	}, code: codes.Internal, says: `"a-bin" that is no base64`},
	{name: "reset: refused", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		code: codes.Unavailable, says: "REFUSED_STREAM", theirs: codes.DeadlineExceeded, why: "it tries again by itself"},
	{name: "reset: cancel", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeCancel) },
		code: codes.Canceled, says: "CANCEL"},
	{name: "reset: calm", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeEnhanceYourCalm) },
		code: codes.ResourceExhausted, says: "ENHANCE_YOUR_CALM"},
	{name: "reset: security", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeInadequateSecurity) },
		code: codes.PermissionDenied, says: "INADEQUATE_SECURITY"},
	{name: "reset: internal", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeInternal) },
		code: codes.Internal, says: "INTERNAL_ERROR"},
	{name: "reset: unheard of", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, 0xabc) },
		code: codes.Unknown, says: "0xabc"},
	{name: "the connection's end", answer: func(s *rawServer, _ uint32) { _ = s.conn.Close() },
		code: codes.Unavailable, says: "the connection to the backend broke"},
	{name: "a header value of two lines", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "200", "content-type", "application/grpc", "x", "a\r\nset-cookie: b")
	}, code: codes.Internal, says: "the backend sent the header \"x\""},
	{name: "a header name with a space", answer: func(s *rawServer, id uint32) {
		s.headers(id, false, ":status", "200", "content-type", "application/grpc", "x y", "z")
	}, code: codes.Internal, says: "the backend sent the header"},
	{name: "leaving, unseen", answer: func(s *rawServer, _ uint32) { _ = s.WriteGoAway(0, http2.ErrCodeNo, nil) },
		code: codes.Unavailable, says: "leaving", theirs: codes.DeadlineExceeded, why: "it tries again by itself"},
	{name: "leaving, seen", answer: func(s *rawServer, id uint32) {
		_ = s.WriteGoAway(id, http2.ErrCodeNo, nil)
		s.answer(id, "")
	}},
	{name: "Traffic 171: leaving, and reset without an error", answer: func(s *rawServer, id uint32) {
		_ = s.WriteGoAway(id, http2.ErrCodeNo, nil)
		_ = s.WriteRSTStream(id, http2.ErrCodeNo)
	}, code: codes.Unavailable, says: "the backend reset the call (NO_ERROR)", theirs: codes.Internal, why: "it does not ask whether the server is leaving"},
	{name: "reset without an error", answer: func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeNo) },
		code: codes.Internal, says: "NO_ERROR"},
	{name: "a header block that is none", answer: func(s *rawServer, id uint32) {
		_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
	}, code: codes.Unavailable, says: "breaks the rules of HTTP/2"},
	{name: "a number that nobody gave", answer: func(s *rawServer, _ uint32) { s.answer(99, "") },
		code: codes.Unavailable, says: "breaks the rules of HTTP/2", theirs: codes.DeadlineExceeded, why: "it ignores the frames"},
	{name: "a push", answer: func(s *rawServer, id uint32) {
		_ = s.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: s.fields(":path", "/"), EndHeaders: true})
	}, code: codes.Unavailable, says: "breaks the rules of HTTP/2", theirs: codes.DeadlineExceeded, why: "it ignores the frame"},
	{name: "a window beyond all", answer: func(s *rawServer, _ uint32) {
		_ = s.WriteWindowUpdate(0, 1<<31-1)
	}, code: codes.Unavailable, says: "breaks the rules of HTTP/2", theirs: codes.DeadlineExceeded, why: "it does not look"},
	{name: "more than the window", answer: func(s *rawServer, id uint32) {
		s.begin(id)
		_ = s.WriteData(id, false, []byte{0, 0, 1, 0x50, 0})
		for range 10 {
			_ = s.WriteData(id, false, make([]byte, 16384))
		}
	}, code: codes.Internal, says: "breaks the rules of HTTP/2"},
}

// TestAnswers calls servers that answer well and badly.
func TestAnswers(t *testing.T) {
	for _, test := range answers {
		t.Run(test.name, func(t *testing.T) {
			address := test.listen(t)
			got, err := call(t.Context(), connect(t, address), "hello")
			if status.Code(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q, %v; want %v and %q", got, err, test.code, test.says)
			}
		})
	}
}

// TestAnswersOfGRPC calls the same servers with grpc-go's client.
func TestAnswersOfGRPC(t *testing.T) {
	for _, test := range answers {
		if test.theirs == codes.DeadlineExceeded {
			continue // it would wait for ever
		}
		t.Run(test.name, func(t *testing.T) {
			address := test.listen(t)
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
				grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(testLimit)))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			want := test.code
			if test.why != "" {
				want = test.theirs
			}
			if err := conn.Invoke(ctx, "/test.Test/Unary", &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != want {
				t.Errorf("grpc-go: %v; want %v (ours: %v, because %s)", err, want, test.code, test.why)
			}
		})
	}
}

// lateContext is a context whose time is over and which has not noticed.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// TestLateAnswers has a server, or a proxy before it, give up a call in the moment in which
// the call's time is over.
func TestLateAnswers(t *testing.T) {
	for name, answer := range map[string]func(s *rawServer, id uint32){
		"a proxy's 502": func(s *rawServer, id uint32) { s.headers(id, true, ":status", "502", "content-type", "text/html") },
		"reset: cancel": func(s *rawServer, id uint32) { _ = s.WriteRSTStream(id, http2.ErrCodeCancel) },
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			scripted := scriptedAnswer{answer: func(s *rawServer, id uint32) {
				<-over
				answer(s, id)
			}}
			conn := connect(t, scripted.listen(t))
			deadline := time.Now().Add(20 * time.Millisecond)
			time.AfterFunc(time.Until(deadline), func() { close(over) })
			if _, err := call(lateContext{t.Context(), deadline}, conn, "hello"); status.Code(err) != codes.DeadlineExceeded {
				t.Error(err)
			}
		})
	}
}
