package websocket

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// TestBrokenFrames has clients that do not keep to RFC 6455 or RFC 7692: that is
// not the same as going away.
func TestBrokenFrames(t *testing.T) {
	const (
		protocolError  = "\x03\xea" // 1002
		invalidPayload = "\x03\xef" // 1007
		deflated       = "\xc1\x86\x00\x00\x00\x00"
	)
	for name, c := range map[string]struct{ text, close string }{
		"unmasked":                     {"\x81\x02{}", protocolError},
		"the length's first bit":       {"\x81\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", protocolError},
		"a reserved bit":               {"\xa1\x82\x00\x00\x00\x00{}", protocolError},
		"a reserved opcode":            {"\x83\x82\x00\x00\x00\x00{}", protocolError},
		"a ping of 126 bytes":          {"\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("x", 126), protocolError},
		"a ping in parts":              {"\x09\x81\x00\x00\x00\x00x", protocolError},
		"a continuation of nothing":    {"\x80\x82\x00\x00\x00\x00{}", protocolError},
		"a message within another":     {"\x01\x81\x00\x00\x00\x00{" + frame(textFrame, "{}"), protocolError},
		"no deflate":                   {deflated + "\xff\xff\xff\xff\xff\xff", invalidPayload},
		"a distance before the window": {deflated + "\x02\x06\x40\x00\x00\x00", invalidPayload},
	} {
		t.Run("Semantics 38: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, client := connectedDeflating(t, "Discuss", 1000)
				answer := make(chan string, 1)
				go func() {
					all, _ := io.ReadAll(client) // as much as comes
					answer <- string(all)
				}()
				if _, err := io.WriteString(client, frame(textFrame, `{"text":"a"}`)+c.text); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Recv(); err != nil {
					t.Fatal(err)
				}
				_, err := d.Recv()
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "message 2 cannot be read: ") {
					t.Errorf("%v", err)
				}
				d.Finish(err, metadata.MD{})
				all := <-answer
				if at := strings.LastIndex(all, "\x88"); at < 0 || !strings.HasPrefix(all[at:][2:], c.close) {
					t.Errorf("%q does not close with %q", all, c.close)
				}
				_ = client.Close()
			})
		})
	}
}

// connectedDeflating has a pipe for the connection of a client that takes
// permessage-deflate.
func connectedDeflating(t *testing.T, method protoreflect.Name, maxMessage int64) (proxy.Downstream, context.Context, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Extensions": "permessage-deflate",
	} {
		r.Header.Set(name, value)
	}
	d := Protocol.Open(edge.Bookstore(t, method, transcoder.Settings{MaxMessage: maxMessage}), exchange.Exchange{W: exchange.FrontOf(&pipeWriter{httptest.NewRecorder(), server}), R: r})
	ctx, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d, ctx, client
}

// TestBrokenFrameDropped has a client that breaks the protocol where its
// messages are of no interest: the call ends all the same, and says why.
func TestBrokenFrameDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ctx, client := connectedDeflating(t, "WatchBooks", 1000)
		answer := make(chan string, 1)
		go func() {
			all, _ := io.ReadAll(client) // as much as comes
			answer <- string(all)
		}()
		d.Unblock()
		if _, err := io.WriteString(client, "\x81\x02{}"); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		d.Finish(status.FromContextError(ctx.Err()).Err(), nil)
		if all := <-answer; !strings.Contains(all, `{"error":{"code":3,"message":"message 1 cannot be read`) || !strings.Contains(all, "\x03\xea") {
			t.Errorf("Semantics 38: %q", all)
		}
		_ = client.Close()
	})
}
