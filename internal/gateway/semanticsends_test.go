package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestEndsOfTheBackend: in every protocol a backend may end a call when it
// likes, with a code of its own, while the client goes on sending.
func TestEndsOfTheBackend(t *testing.T) {
	_, g := startDoors(t)
	many := slices.Repeat([]string{"and on"}, 200)
	for _, d := range doorDrivers() {
		call := func(texts ...string) *doorAnswer {
			return d.call(t, &doorCall{g: g, service: "Open", texts: texts, hold: true})
		}
		t.Run("Semantics 55: "+d.name, func(t *testing.T) {
			a := call("fail 5002")
			want := codes.Code(5002)
			if strings.HasPrefix(d.name, "Connect") {
				want = codes.Unknown // Connect has no other names
			}
			if a.code != want || a.message != "as told" {
				t.Errorf("%v %q, want %v", a.code, a.message, want)
			}
			if d.json && !d.webSocket() && a.status != 500 {
				t.Errorf("HTTP status %d, want 500", a.status)
			}
		})
		if !d.several() {
			continue
		}
		t.Run("Semantics 54: an error at once, "+d.name, func(t *testing.T) {
			if a := call("fail 9"); a.code != codes.FailedPrecondition || a.message != "as told" || len(a.words) > 0 {
				t.Errorf("%v %q %q", a.code, a.message, a.words)
			}
		})
		t.Run("Semantics 54: the last answer before the half-close, "+d.name, func(t *testing.T) {
			if a := call("last"); a.code != codes.OK || !slices.Equal(a.words, []string{"last"}) {
				t.Errorf("%v %q %q", a.code, a.message, a.words)
			}
		})
		t.Run("Semantics 41: an error while the client sends on, "+d.name, func(t *testing.T) {
			if a := call(append([]string{"fail 9"}, many...)...); a.code != codes.FailedPrecondition || a.message != "as told" {
				t.Errorf("%v %q, want the backend's own status", a.code, a.message)
			}
		})
		t.Run("Semantics 41: the end while the client sends on, "+d.name, func(t *testing.T) {
			if a := call(append([]string{"first", "last"}, many...)...); a.code != codes.OK || !slices.Equal(a.words, []string{"first", "last"}) {
				t.Errorf("%v %q %q", a.code, a.message, a.words)
			}
		})
	}
}

// TestStreamsHaveNoTotalDeadline: a timeout for all methods is one of the unary
// ones.
func TestStreamsHaveNoTotalDeadline(t *testing.T) {
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: "defaults: { timeout: 0.05s }\n",
	})
	conn := dial(t, g)
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/door.v1.Open/Talk")
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		t.Helper()
		word := &emptypb.Empty{}
		word.ProtoReflect().SetUnknown(wordWire(text))
		if err := stream.SendMsg(word); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(word); err != nil || wordText(word.ProtoReflect().GetUnknown()) != text {
			t.Fatalf("Semantics 42: %q is answered with %v %v", text, word, err)
		}
	}
	for n := range 3 {
		say(fmt.Sprint(n))
		silence := &emptypb.Empty{}
		silence.ProtoReflect().SetUnknown(wordWire("silence"))
		if err := conn.Invoke(t.Context(), "/door.v1.Open/Ask", silence, &emptypb.Empty{}); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("Semantics 32: a unary call beside it: %v", err)
		}
	}
	say("after three times the time")
}
