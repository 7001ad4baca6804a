package transcoder

import (
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

func TestRequestHeaders(t *testing.T) {
	rules := NewHeaderRules(HeaderOptions{Request: []string{"X-Tenant", "x-app-*"}})
	for name, c := range map[string]struct {
		header string
		all    bool
		want   string // the metadata's name; "" for none
	}{
		"Semantics 31: by default":                  {"Authorization", false, "authorization"},
		"Semantics 31: named":                       {"X-Tenant", false, "x-tenant"},
		"Semantics 31: by prefix":                   {"X-App-Version", false, "x-app-version"},
		"Semantics 31: not named":                   {"X-Other", false, ""},
		"Semantics 31: for gRPC clients":            {"X-Other", true, "x-other"},
		"Semantics 31: Grpc-Metadata-":              {"Grpc-Metadata-X-Other", false, "x-other"},
		"Semantics 31: hop by hop":                  {"Connection", true, ""},
		"Semantics 31: grpc-":                       {"Grpc-Timeout", true, ""},
		"Semantics 31: grpc- behind the prefix":     {"Grpc-Metadata-Grpc-Status", true, ""},
		"the gateway's own":                         {"X-Transom-Principal", true, ""},
		"the gateway's own behind the prefix":       {"Grpc-Metadata-X-Transom-Principal", false, ""},
		"who it was forwarded for":                  {"X-Forwarded-For", true, ""},
		"Semantics 52: an underscore twin":          {"X_transom_principal", true, ""},
		"Semantics 52: a twin of authorization":     {"X_forwarded_for", true, ""},
		"Semantics 52: a name with underscores":     {"User_id", true, "user_id"},
		"Semantics 52: the content length's twin":   {"Content_length", true, ""},
		"Semantics 31: the browser's own is told":   {"User-Agent", false, "x-forwarded-user-agent"},
		"Semantics 326: Connect's own":              {"Connect-Timeout-Ms", true, ""},
		"Semantics 326: Connect's own, prefixed":    {"Grpc-Metadata-Connect-Protocol-Version", false, ""},
		"Semantics 326: gRPC-Web's own":             {"X-Grpc-Web", true, ""},
		"Semantics 326: a gRPC-Web client's own":    {"X-User-Agent", true, ""},
		"Semantics 326: the handshake's own":        {"Sec-Websocket-Protocol", true, ""},
		"Semantics 305: behind the prefix":          {"Grpc-Metadata-Authorization", false, ""},
		"Semantics 305: behind it, for gRPC":        {"Grpc-Metadata-Traceparent", true, ""},
		"Semantics 305: another gateway's prefix":   {"Grpcgateway-Authorization", true, ""},
		"Semantics 305: with dots":                  {"X.request.id", true, ""},
		"Semantics 305: a name with dots":           {"X.tenant", true, "x.tenant"},
		"Semantics 35: where a stream was left off": {"Last-Event-Id", false, "last-event-id"},
	} {
		t.Run(name, func(t *testing.T) {
			var md proxy.Metadata
			if err := rules.Request(&md, http.Header{c.header: {"v"}}, c.all); err != nil {
				t.Fatal(err)
			}
			var want proxy.Metadata
			if c.want != "" {
				want = proxy.Metadata{c.want, "v"}
			}
			if !slices.Equal(md, want) {
				t.Errorf("%s became %v, want %v", c.header, md, want)
			}
		})
	}
}

// TestSemantics307: a name that gRPC cannot carry stays here, whatever would let it
// cross, and costs the request nothing.
func TestSemantics307(t *testing.T) {
	for _, c := range "!#$%&'*+^`|~" {
		for name, all := range map[string]bool{"Grpc-Metadata-A" + string(c) + "b": false, "X" + string(c): true, "X-" + string(c) + "y": false} {
			t.Run("Semantics 307: "+name, func(t *testing.T) {
				var dropped []string
				rules := NewHeaderRules(HeaderOptions{Request: []string{"*"}, DroppedName: func(name string) { dropped = append(dropped, name) }})
				var md proxy.Metadata
				if err := rules.Request(&md, http.Header{name: {"v"}, "X-Good": {"w"}}, all); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(md, proxy.Metadata{"x-good", "w"}) || !slices.Equal(dropped, []string{name}) {
					t.Errorf("got %v, dropped %v", md, dropped)
				}
			})
		}
	}
}

func TestRequestHeaderValues(t *testing.T) {
	var dropped []string
	rules := NewHeaderRules(HeaderOptions{Dropped: func(name string) { dropped = append(dropped, name) }})
	var md proxy.Metadata
	if err := rules.Request(&md, http.Header{"Grpc-Metadata-A-Bin": {"AQI"}, "Grpc-Metadata-B": {"ü"}}, false); err != nil {
		t.Fatal(err)
	}
	if got := md.Get("a-bin"); got != "\x01\x02" {
		t.Errorf("Semantics 31: -bin is %q", got)
	}
	if got := md.Get("b"); got != "" {
		t.Errorf("Semantics 31: a value that is no ASCII crossed: %q", got)
	}
	if !slices.Equal(dropped, []string{"b"}) {
		t.Errorf("Semantics 31: dropped %q, want b", dropped)
	}
}

// gRPC's own document has -bin values padded or not, and joined by commas.
func TestBinaryRequestHeaders(t *testing.T) {
	rules := NewHeaderRules(HeaderOptions{})
	for value, want := range map[string][]string{
		"": {""}, "AQI": {"\x01\x02"}, "AQI=": {"\x01\x02"}, "AQI=,AwQ": {"\x01\x02", "\x03\x04"}, "AQI, AwQ=": {"\x01\x02", "\x03\x04"},
		"AQI,,AwQ": {"\x01\x02", "", "\x03\x04"}, "%": nil, "A": nil, "AQI,%": nil, "AQI;AwQ": nil, "A=QI": nil,
	} {
		t.Run("Semantics 31: "+value, func(t *testing.T) {
			var md, expected proxy.Metadata
			for _, v := range want {
				expected.Add("a-bin", v)
			}
			err := rules.Request(&md, http.Header{"A-Bin": {value}}, true)
			if want == nil && status.Code(err) != codes.InvalidArgument {
				t.Errorf("malformed base64 gives %v and %q", err, md)
			}
			if want != nil && (err != nil || !slices.Equal(md, expected)) {
				t.Errorf("got %q %v, want %q", md, err, expected)
			}
		})
	}
}

func TestResponseHeaders(t *testing.T) {
	rules := NewHeaderRules(HeaderOptions{Response: []string{"x-named"}, ResponsePrefix: DefaultResponsePrefix, TrailerPrefix: "Grpc-Trailer-"})
	h := http.Header{}
	rules.Response(h, metadata.MD{"x-named": {"1"}, "x-other": {"2"}, "etag": {"3"}, "content-length": {"4"}, "a-bin": {"\x01\x02"}, "location": {"/x"}, "x-http-code": {"201"}},
		map[string]bool{"location": true})
	rules.Trailer(h, metadata.MD{"x-last": {"5"}, "grpc-status": {"6"}})
	for name, want := range map[string]string{
		"X-Named": "1", "Grpc-Metadata-X-Other": "2", "Etag": "3", "Content-Length": "", "Grpc-Metadata-Content-Length": "",
		"Grpc-Metadata-A-Bin": "AQI", "Location": "/x", "Grpc-Metadata-X-Http-Code": "", "Grpc-Trailer-X-Last": "5", "Grpc-Trailer-Grpc-Status": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("Semantics 31: %s is %q, want %q", name, got, want)
		}
	}
}
