package transcoder

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/proxy"
)

// TestAnswerDeadline: Semantics 39 and 303: over HTTP/2 each answer has a write
// deadline that is larger than what net/http keeps until the call has ended, for a
// client may give its stream no window; over HTTP/1.1 the connection bounds short ones.
func TestAnswerDeadline(t *testing.T) {
	for _, test := range []struct {
		protocol *Protocol
		major    int
		size     int
		want     bool
	}{
		{REST, 2, 1 << 10, false}, {REST, 2, 5 << 10, true}, {REST, 2, 31 << 10, true}, {REST, 2, 1 << 20, true},
		{REST, 1, 5 << 10, false}, {REST, 1, 1 << 20, true},
		{GRPC, 2, 1 << 10, false}, {GRPC, 2, 5 << 10, true}, {GRPC, 2, 31 << 10, true},
		{ConnectUnary, 2, 5 << 10, true},
	} {
		w := newFakeWriter()
		r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/GetBook", strings.NewReader(""))
		r.ProtoMajor = test.major
		switch test.protocol {
		case GRPC:
			r.Header.Set("Content-Type", "application/grpc")
		default:
			r.Header.Set("Content-Type", "application/json")
		}
		watched := &deadlineWriter{fakeWriter: w}
		d := test.protocol.Open(bookstoreBinding(t, "GetBook", Settings{}), Exchange{W: watched, R: r})
		if _, err := d.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(&pb.Book{Title: strings.Repeat("x", test.size)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Send(proxy.NewFrame(wire)); err != nil {
			t.Fatal(err)
		}
		if code := d.Finish(nil, nil); code >= 400 {
			t.Fatal(status.Error(codes.Unknown, w.body.String()))
		}
		if got := watched.set > 0; got != test.want {
			t.Errorf("protocol %v over HTTP/%d, %d bytes: a deadline: %t, want %t", test.protocol, test.major, test.size, got, test.want)
		}
	}
}

// deadlineWriter counts the deadlines that lie ahead.
type deadlineWriter struct {
	*fakeWriter
	set int
}

func (w *deadlineWriter) SetWriteDeadline(t time.Time) error {
	if t.After(time.Now()) {
		w.set++
	}
	return w.fakeWriter.SetWriteDeadline(t)
}
