package websocket

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"

	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// FuzzWebSocketFrame turns frames into messages: a text frame means what
// protojson takes it for, a binary frame what proto does, and an error names the
// frame.
func FuzzWebSocketFrame(f *testing.F) {
	for _, text := range []string{``, `{}`, `{"text":"a"}`, `{"monologue":3}`, `{"failure":{"code":9}}`, `{"text":`, `[]`, `{"text":"\ud800"}`, "\xff", `{"text":"a"} {}`} {
		f.Add(true, []byte(text))
	}
	for _, m := range []*pb.DiscussRequest{{}, {Remark: &pb.DiscussRequest_Text{Text: "a"}}, {Remark: &pb.DiscussRequest_Monologue{Monologue: 3}}} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, wire)
	}
	f.Add(false, []byte{0x0a, 5})
	binding := edge.Bookstore(f, "Discuss", transcoder.Settings{})
	f.Fuzz(func(t *testing.T, text bool, data []byte) {
		s := &webSocket{unblocked: make(chan struct{})}
		s.Begin(binding, exchange.Exchange{R: httptest.NewRequest("GET", "/", nil)})
		message, err := s.message(webSocketFrame{text: text, data: append([]byte(nil), data...)})
		if text && len(data) == 0 {
			if err != io.EOF {
				t.Fatalf("the half-close is %v", err)
			}
			return
		}
		var want pb.DiscussRequest
		unmarshal := proto.Unmarshal
		if text {
			unmarshal = protojson.Unmarshal
		}
		if reference := unmarshal(data, &want); err != nil {
			if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), "message 1: ") {
				t.Fatalf("%q: %v", data, err)
			}
			if reference == nil && !text {
				t.Fatalf("%q is refused: %v", data, err)
			}
			return
		} else if reference != nil {
			t.Fatalf("%q is taken; protobuf says %v", data, reference)
		}
		var got pb.DiscussRequest
		if err := proto.Unmarshal(message.Bytes(), &got); err != nil || !proto.Equal(&got, &want) {
			t.Fatalf("%q: %v (%v), want %v", data, &got, err, &want)
		}
	})
}

// FuzzSubprotocol picks what is echoed of what a client offers: one of the
// offered ones, or nothing.
func FuzzSubprotocol(f *testing.F) {
	for _, seed := range []string{"", "transom.json", "a, transom.proto", "bearer.x", "bearer.x, b", ",,", " a ,b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, offered string) {
		chosen := chooseSubprotocol(http.Header{"Sec-Websocket-Protocol": {offered}})
		found := chosen == ""
		for item := range strings.SplitSeq(offered, ",") {
			found = found || strings.TrimSpace(item) == chosen
		}
		if !found {
			t.Errorf("%q of %q", chosen, offered)
		}
	})
}

// FuzzCloseReason cuts reasons to what a close frame takes.
func FuzzCloseReason(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("x", 200))
	f.Add(strings.Repeat("€", 42))
	f.Add("\xff" + strings.Repeat("\xe2\x82", 100))
	f.Fuzz(func(t *testing.T, message string) {
		reason := closeReason(message)
		if len(reason) > maxCloseReason || !utf8.ValidString(reason) {
			t.Errorf("%d bytes: %q", len(reason), reason)
		}
		if valid := strings.ToValidUTF8(message, "\uFFFD"); !strings.HasPrefix(valid, reason) || len(valid) <= maxCloseReason && valid != reason {
			t.Errorf("%q of %q", reason, message)
		}
	})
}
