package envelope

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/answer"
	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// TestSilentRPC sends a message by gRPC and its like and is then silent: no
// deadline may run on, as HTTP/2 resets a stream when it passes.
func TestSilentRPC(t *testing.T) {
	for name, protocol := range map[string]*transcoder.Protocol{
		"application/grpc": GRPC, "application/grpc-web+proto": GRPCWeb, "application/connect+proto": ConnectStream,
	} {
		t.Run("Semantics 42: "+name, func(t *testing.T) {
			w := answer.NewWriter()
			r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/WatchBooks", strings.NewReader("\x00\x00\x00\x00\x00"))
			r.ProtoMajor = 2
			r.Header.Set("Content-Type", name)
			r.Header.Set("Connect-Protocol-Version", "1")
			d := protocol.Open(edge.Bookstore(t, "WatchBooks", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(w), R: r})
			if _, err := d.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Recv(); err != nil {
				t.Fatal(err)
			}
			if err := d.Send(edge.Watched(t, 1)); err != nil {
				t.Fatal(err)
			}
			if d.Flush(); !w.Deadline.IsZero() {
				t.Errorf("the deadline is %s", w.Deadline)
			}
			d.Finish(nil, nil)
		})
	}
}
