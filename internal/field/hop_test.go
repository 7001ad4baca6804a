package field

import (
	"net/textproto"
	"testing"
)

func TestHopByHop(t *testing.T) {
	for name, want := range map[string]bool{
		"connection": true, "keep-alive": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
		"proxy-authorization": true, "proxy-authenticate": true, "proxy-connection": true, "proxy-anything": true, "proxy": true, "http2-settings": true,
		"proxied": false, "authorization": false, "host": false, "trailers": false, "": false,
	} {
		if HopByHop(textproto.CanonicalMIMEHeaderKey(name)) != want {
			t.Errorf("HopByHop(%q) is %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"Content_Length": true, "transfer.encoding": true, "HOST": true, "proxy_authorization": true, "expect": true, "x-host": false, "te": true} {
		if Framing(Fold(name)) != want {
			t.Errorf("Framing(%q) is %v", name, !want)
		}
	}
}

func TestNamedByConnection(t *testing.T) {
	if got := NamedByConnection([]string{"close, keep-alive", " Upgrade ,"}); got != nil {
		t.Errorf("%v, want none", got)
	}
	got := NamedByConnection([]string{"x-one,close", "\tX-TWO "})
	if len(got) != 2 || !got["X-One"] || !got["X-Two"] {
		t.Errorf("%v", got)
	}
}
