package proxy

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// sourcedClient is a fakeClient that tells what its message is made of, or an error.
type sourcedClient struct {
	*fakeClient
	tells bool
	err   error
}

func (c sourcedClient) Source() (Source, bool, error) {
	return Source{Texts: [3]string{"rule"}, Body: []byte("body")}, c.tells, c.err
}

// TestKnown: an answer that is known by what the client wrote needs neither the message nor the backend, and in all
// other cases the call goes on as ever.
func TestKnown(t *testing.T) {
	answer := func(known bool, err error) func(context.Context, Source) (Reply, bool, error) {
		return func(_ context.Context, s Source) (Reply, bool, error) {
			if s.Texts[0] != "rule" || string(s.Body) != "body" {
				t.Errorf("asked about %+v", s)
			}
			if !known {
				return Reply{}, false, err
			}
			return Reply{Message: NewFrame([]byte("kept")), Header: metadata.Pairs("h", "2"), Trailer: metadata.Pairs("t", "2")}, true, err
		}
	}
	for _, test := range []struct {
		name     string
		tells    bool
		source   error
		known    func(context.Context, Source) (Reply, bool, error)
		code     codes.Code
		up, down int
		got      string
		received int64
	}{
		{"known", true, nil, answer(true, nil), codes.OK, 1, 1, "kept", 0},
		{"a known error", true, nil, answer(true, errTest(codes.NotFound)), codes.NotFound, 1, 0, "", 0},
		{"not known", true, nil, answer(false, nil), codes.OK, 1, 1, "x", 1},
		{"a client that cannot tell", false, nil, answer(true, nil), codes.OK, 1, 1, "x", 1},
		{"a bad body", false, errTest(codes.InvalidArgument), answer(true, nil), codes.InvalidArgument, 0, 0, "", 0},
		{"an error of who is asked", true, nil, answer(false, errTest(codes.Internal)), codes.Internal, 0, 0, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, backend := newFakeClient("a").done(), newFakeBackend("x")
			call := &Call{Downstream: sourcedClient{client, test.tells, test.source}, Backend: backend, Known: test.known}
			r := Relay(t.Context(), call)
			check(t, r, test.code, test.up, test.down)
			got := ""
			if len(client.got) == 1 {
				got = client.got[0]
			}
			if got != test.got || call.Received != test.received {
				t.Errorf("the client got %q and the message is said to have %d bytes, want %q, %d", got, call.Received, test.got, test.received)
			}
			if asked := len(backend.sent); asked != int(test.received) {
				t.Errorf("the backend was asked %d times", asked)
			}
			if test.code == codes.OK && test.received == 0 && (client.header.Get("h")[0] != "2" || r.Trailer.Get("t")[0] != "2") {
				t.Errorf("the metadata is %v, %v", client.header, r.Trailer)
			}
		})
	}
	t.Run("a client without a source", func(t *testing.T) {
		client := newFakeClient("a").done()
		check(t, relay(t, t.Context(), &Call{Downstream: client, Backend: newFakeBackend("x"), Known: answer(true, nil)}), codes.OK, 1, 1)
	})
}
