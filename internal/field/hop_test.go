package field

import (
	"net/textproto"
	"strings"
	"testing"
)

func TestHopByHop(t *testing.T) {
	for name, want := range map[string]bool{
		"connection": true, "keep-alive": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
		"proxy-authorization": true, "proxy-authenticate": true, "proxy-connection": true, "proxy-anything": true, "proxy": true, "http2-settings": true,
		"proxied": false, "authorization": false, "host": false, "trailers": false, "": false,
	} {
		for _, name := range []string{name, textproto.CanonicalMIMEHeaderKey(name), strings.ToUpper(name)} {
			if HopByHop(name) != want || HopByHopInAnswers(name) != want {
				t.Errorf("HopByHop(%q) is %v, in answers %v", name, HopByHop(name), HopByHopInAnswers(name))
			}
		}
	}
	if !HopByHop("Proxy-Status") || HopByHopInAnswers("Proxy-Status") || HopByHopInAnswers("proxy-status") {
		t.Error("Proxy-Status is said to one hop in requests, to all in answers")
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
