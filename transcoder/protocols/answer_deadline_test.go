package protocols

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/answer"
	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/envelope"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// TestAnswerDeadline: Semantics 39 and 303: over HTTP/2 each answer has a write
// deadline that is larger than what net/http keeps until the call has ended, for a
// client may give its stream no window; over HTTP/1.1 the connection bounds short ones.
func TestAnswerDeadline(t *testing.T) {
	for _, test := range []struct {
		protocol *transcoder.Protocol
		major    int
		size     int
		want     bool
	}{
		{REST, 2, 1 << 10, false}, {REST, 2, 5 << 10, true}, {REST, 2, 31 << 10, true}, {REST, 2, 1 << 20, true},
		{REST, 1, 5 << 10, false}, {REST, 1, 1 << 20, true},
		{envelope.GRPC, 2, 1 << 10, false}, {envelope.GRPC, 2, 5 << 10, true}, {envelope.GRPC, 2, 31 << 10, true},
		{envelope.ConnectUnary, 2, 5 << 10, true},
	} {
		w := answer.NewWriter()
		r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/GetBook", strings.NewReader(""))
		r.ProtoMajor = test.major
		switch test.protocol {
		case envelope.GRPC:
			r.Header.Set("Content-Type", "application/grpc")
		default:
			r.Header.Set("Content-Type", "application/json")
		}
		watched := &deadlineWriter{Writer: w}
		d := test.protocol.Open(edge.Bookstore(t, "GetBook", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(watched), R: r})
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
			t.Fatal(status.Error(codes.Unknown, w.Body.String()))
		}
		if got := watched.set > 0; got != test.want {
			t.Errorf("protocol %v over HTTP/%d, %d bytes: a deadline: %t, want %t", test.protocol, test.major, test.size, got, test.want)
		}
	}
}

// deadlineWriter counts the deadlines that lie ahead.
type deadlineWriter struct {
	*answer.Writer
	set int
}

func (w *deadlineWriter) SetWriteDeadline(t time.Time) error {
	if t.After(time.Now()) {
		w.set++
	}
	return w.Writer.SetWriteDeadline(t)
}
