package mirror

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/proxy"
)

// receiver takes one call.
type receiver struct {
	proxy.Backend
	told    chan proxy.Metadata
	message chan []byte
}

// Call implements proxy.Backend.
func (r receiver) Call(_ context.Context, _ string, md proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r.told <- slices.Clone(md)
	r.message <- slices.Clone(request.Bytes())
	request.Free()
	return proxy.Reply{}, nil
}

// TestRedactedCalls: Traffic 208: a redacted copy of a call has neither the credentials in its
// metadata nor the sensitive fields of its message, and the call itself has both.
func TestRedactedCalls(t *testing.T) {
	copies := &copies{}
	copies.ctx, copies.cancel = context.WithCancel(t.Context())
	t.Cleanup(func() { _ = copies.Close() })
	own := receiver{told: make(chan proxy.Metadata, 1), message: make(chan []byte, 1)}
	other := receiver{told: make(chan proxy.Metadata, 1), message: make(chan []byte, 1)}
	p := &part{sender: sender{rpc: "a/b", share: 1, redacts: true, copies: copies, decided: func(string) {}}, to: other, redactor: newRedactor(bookOf(t))}
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "a")
	whole := protowire.AppendString(protowire.AppendTag(slices.Clone(name), 2, protowire.BytesType), "secret")
	md := proxy.Metadata{"authorization", "Bearer x", "accept-language", "de", "cookie", "a=b", "x-transom-principal", "p"}
	if _, err := p.Wrap(own).Call(t.Context(), "/a/b", slices.Clone(md), proxy.NewFrame(slices.Clone(whole))); err != nil {
		t.Fatal(err)
	}
	if told, message := <-own.told, <-own.message; !slices.Equal(told, md) || !slices.Equal(message, whole) {
		t.Errorf("the call has %q and %x", told, message)
	}
	want := proxy.Metadata{"accept-language", "de", "x-transom-principal", "p", "x-transom-mirror", "1"}
	if told, message := <-other.told, <-other.message; !slices.Equal(told, want) || !slices.Equal(message, name) {
		t.Errorf("the copy has %q and %x", told, message)
	}
}
