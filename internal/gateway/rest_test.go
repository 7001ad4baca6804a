package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scenario is one request and what must come back.
type scenario struct {
	name    string
	method  string
	path    string
	body    string
	headers []string
	status  int
	// want is JSON that must be a part of the answer: objects may have more
	// fields, everything else must be equal. Empty: the body is not looked at.
	want string
	// header is a name and a value the answer must have.
	header [2]string
}

func play(t *testing.T, g *gatewaytest.Gateway, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			answer := g.Do(t, s.method, s.path, s.body, s.headers...)
			if answer.Status != s.status {
				t.Fatalf("%s %s: status %d, want %d\n%s", s.method, s.path, answer.Status, s.status, answer.Body)
			}
			if s.want != "" {
				if err := contains(answer.Body, s.want); err != nil {
					t.Errorf("%s %s: %v\n%s", s.method, s.path, err, answer.Body)
				}
			}
			if s.header[0] != "" && answer.Header.Get(s.header[0]) != s.header[1] {
				t.Errorf("%s = %q, want %q", s.header[0], answer.Header.Get(s.header[0]), s.header[1])
			}
		})
	}
}

// contains reports whether the JSON want is a part of the JSON have. A string in
// want that begins with "~" must be a part of the string in have.
func contains(have, want string) error {
	var h, w any
	if err := json.Unmarshal([]byte(have), &h); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		return fmt.Errorf("the expectation is not JSON: %w", err)
	}
	return part("$", h, w)
}

func part(path string, have, want any) error {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", path, have)
		}
		for key, v := range w {
			got, ok := h[key]
			if !ok {
				return fmt.Errorf("%s has no %q", path, key)
			}
			if err := part(path+"."+key, got, v); err != nil {
				return err
			}
		}
		return nil
	case string:
		if rest, ok := strings.CutPrefix(w, "~"); ok {
			if h, ok := have.(string); !ok || !strings.Contains(h, rest) {
				return fmt.Errorf("%s is %q, want something with %q", path, have, rest)
			}
			return nil
		}
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return fmt.Errorf("%s is %v, want %v", path, have, want)
		}
		for i := range w {
			if err := part(fmt.Sprintf("%s[%d]", path, i), h[i], w[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(have, want) {
		return fmt.Errorf("%s is %v, want %v", path, have, want)
	}
	return nil
}

func TestUnary(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	play(t, g, []scenario{
		{name: "get", method: "GET", path: "/v1/shelves/1/books/1", status: 200, want: `{"name": "shelves/1/books/1", "sold": "9007199254740993"}`, header: [2]string{"Content-Type", "application/json"}},
		{name: "create", method: "POST", path: "/v1/shelves/3/books", body: `{"title": "New", "pages": 7}`, status: 200, want: `{"title": "New", "pages": 7}`},
		{name: "Semantics 28: response_body is the bare value", method: "GET", path: "/v1/shelves/1/books/1/tags", status: 200, want: `["sea", "mystery", "letters"]`},
		{name: "Semantics 28: an empty reply is {}", method: "DELETE", path: "/v1/shelves/3/books/nope", status: 404, want: `{"code": 5}`},
		{name: "Semantics 29: default values are written out", method: "GET", path: "/v1/shelves/1/books/2", status: 200, want: `{"weight": 0, "inStock": false, "labels": {}}`},
		{name: "Semantics 5: a verb", method: "POST", path: "/v1/books:search", body: `{"query": "lighthouse"}`, status: 200, want: `{"books": [{"name": "shelves/1/books/1"}]}`},
		{name: "a GET that is no GET of Connect", method: "GET", path: "/bookstore.v1.BookstoreService/GetShelf", status: 400, header: [2]string{"Allow", "GET, HEAD, OPTIONS, POST"},
			want: `{"code": 3, "message": "a GET here takes the message from the query, as Connect does: ?connect=v1&encoding=json&message={}; a POST takes it as its body"}`},
		{name: "Semantics 44: a GET of a method with side effects", method: "GET", path: "/bookstore.v1.BookstoreService/CreateShelf?connect=v1&encoding=json&message=%7B%7D", status: 405,
			want: `{"code": "unknown", "message": "the method GET is not allowed here; allowed: OPTIONS, POST"}`, header: [2]string{"Allow", "OPTIONS, POST"}},
		{name: "Semantics 44: a GET of a stream", method: "GET", path: "/bookstore.v1.BookstoreService/WatchBooks?connect=v1&encoding=json&message=%7B%7D", status: 405,
			want: `{"code": "unknown", "message": "the method GET is not allowed here; allowed: OPTIONS, POST"}`, header: [2]string{"Allow", "OPTIONS, POST"}},
		{name: "Semantics 4: 405 with Allow", method: "DELETE", path: "/v1/books:search", status: 405, want: `{"code": 12}`, header: [2]string{"Allow", "GET, HEAD, OPTIONS, POST"}},
		{name: "Semantics 11: HEAD of Connect's GET", method: "HEAD", path: "/bookstore.v1.BookstoreService/GetShelf?connect=v1&encoding=json&message=%7B%22name%22:%22shelves/1%22%7D", status: 200,
			header: [2]string{"Content-Type", "application/json"}},
		{name: "Semantics 26: 405 by Connect", method: "PUT", path: "/bookstore.v1.BookstoreService/GetShelf", headers: []string{"Content-Type", "application/json", "Connect-Protocol-Version", "1"}, status: 405,
			want: `{"code": "unknown"}`, header: [2]string{"Allow", "GET, HEAD, OPTIONS, POST"}},
		{name: "Semantics 26: 405 by gRPC-Web", method: "DELETE", path: "/bookstore.v1.BookstoreService/GetShelf", headers: []string{"Content-Type", "application/grpc-web+proto"}, status: 405,
			header: [2]string{"Grpc-Status", "12"}},
		{name: "an unknown method by Connect", method: "POST", path: "/bookstore.v1.BookstoreService/No", headers: []string{"Content-Type", "application/proto", "Connect-Protocol-Version", "1"}, status: 404,
			want: `{"code": "unimplemented"}`},
		{name: "Semantics 7: a trailing slash is 404", method: "GET", path: "/v1/shelves/", status: 404, want: `{"code": 5, "message": "~/v1/shelves/"}`},
		{name: "Semantics 10: a method without a rule", method: "POST", path: "/bookstore.v1.BookstoreService/GetStatistics", body: `{}`, status: 200},
		{name: "Semantics 11: HEAD runs GET", method: "HEAD", path: "/v1/shelves/1", status: 200},
		{name: "Semantics 11: OPTIONS answers Allow", method: "OPTIONS", path: "/v1/shelves/1", status: 204, header: [2]string{"Allow", "DELETE, GET, HEAD, OPTIONS"}},
		{name: "Semantics 12: method override is off", method: "POST", path: "/v1/shelves/1", headers: []string{"X-HTTP-Method-Override", "GET"}, status: 405},
	})
}

func TestQuery(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	echo := func(query string) string { return "/v1/echo/x?" + query }
	ok := func(name, query, want string) scenario {
		return scenario{name: "Semantics 17: " + name, method: "GET", path: echo(query), status: 200, want: want}
	}
	bad := func(name, query, message string) scenario {
		return scenario{name: name, method: "GET", path: echo(query), status: 400, want: `{"code": 3, "message": "~` + message + `"}`}
	}
	play(t, g, []scenario{
		ok("JSON name", "specimen.int32Value=-5", `{"int32Value": -5}`),
		ok("proto name", "specimen.int32_value=5", `{"int32Value": 5}`),
		ok("nested", "specimen.messageValue.messageValue.stringValue=deep", `{"messageValue": {"messageValue": {"stringValue": "deep"}}}`),
		ok("repeated keeps order, no comma splitting", "specimen.strings=b&specimen.strings=a,c", `{"strings": ["b", "a,c"]}`),
		ok("map", "specimen.stringMap[k]=v&specimen.stringMap[l]=w", `{"stringMap": {"k": "v", "l": "w"}}`),
		ok("nested map", "specimen.messageValue.stringMap[k]=v", `{"messageValue": {"stringMap": {"k": "v"}}}`),
		ok("enum by name", "specimen.enumValue=FICTION", `{"enumValue": "FICTION"}`),
		ok("enum by number", "specimen.enumValue=1", `{"enumValue": "FICTION"}`),
		ok("bool true", "specimen.boolValue=true", `{"boolValue": true}`),
		ok("bool 1", "specimen.boolValue=1", `{"boolValue": true}`),
		ok("bytes in URL base64 without padding", "specimen.bytesValue=-_8", `{"bytesValue": "+/8="}`),
		ok("bytes in standard base64", "specimen.bytesValue=%2B/8%3D", `{"bytesValue": "+/8="}`),
		ok("wrapper", "specimen.int64Wrapper=9007199254740993", `{"int64Wrapper": "9007199254740993"}`),
		ok("timestamp", "specimen.timestamp=2020-01-02T03:04:05Z", `{"timestamp": "2020-01-02T03:04:05Z"}`),
		ok("duration", "specimen.duration=3.5s", `{"duration": "3.500s"}`),
		ok("field mask in camelCase", "specimen.fieldMask=fooBar,baz", `{"fieldMask": "fooBar,baz"}`),
		ok("NaN", "specimen.doubleValue=NaN", `{"doubleValue": "NaN"}`),
		ok("Infinity", "specimen.doubleValue=Infinity", `{"doubleValue": "Infinity"}`),
		ok("an empty string is set", "specimen.optionalString=", `{"optionalString": ""}`),
		ok("a message as JSON", "specimen.messageValue=%7B%22int32Value%22:7%7D", `{"messageValue": {"int32Value": 7}}`),
		ok("Semantics 2: + is a space", "specimen.optionalString=a+b%2Bc", `{"optionalString": "a b+c"}`),
		bad("Semantics 17: an empty number", "specimen.int32Value=", "specimen.int32Value"),
		bad("Semantics 15: unknown", "specimen.nope=1", "specimen.nope"),
		bad("Semantics 16: given twice", "specimen.int32Value=1&specimen.int32_value=2", "twice"),
		bad("Semantics 16: a key of a map given twice", "specimen.stringMap[a]=1&specimen.string_map[a]=2", "twice"),
		bad("Semantics 16: two members of a oneof", "specimen.choiceNumber=1&specimen.choiceText=x", "oneof"),
		bad("Semantics 14: bound by the path", "specimen.stringValue=x", "already set"),
		bad("out of range", "specimen.int32Value=3000000000", "specimen.int32Value"),
		bad("malformed escape", "specimen.string_map[%zz]=1", "percent"),
		{name: "Semantics 14: body * takes no query", method: "POST", path: "/v1/books:search?query=x", body: `{}`, status: 400},
		{name: "Semantics 14: body field forbids what is below it", method: "POST", path: "/v1/shelves/1/books?book.title=x", body: `{}`, status: 400},
		{name: "Semantics 16: optional is no oneof", method: "GET", path: echo("specimen.optionalInt32=1&specimen.optionalString=a"), status: 200, want: `{"optionalInt32": 1, "optionalString": "a"}`},
	})
}

func TestPaths(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	value := func(name, segment, want string) scenario {
		return scenario{name: name, method: "GET", path: "/v1/echo/" + segment, status: 200, want: `{"stringValue": ` + want + `}`}
	}
	play(t, g, []scenario{
		value("Semantics 1: %2F in a single segment", "a%2Fb", `"a/b"`),
		value("Semantics 1: %252F decodes once", "a%252Fb", `"a%2Fb"`),
		value("Semantics 2: + is literal", "a+b", `"a+b"`),
		value("Semantics 5: an undeclared verb is a part of the segment", "a:b", `"a:b"`),
		value("UTF-8", "%C3%BC", `"ü"`),
		{name: "invalid UTF-8", method: "GET", path: "/v1/echo/%ff", status: 400},
		{name: "Semantics 3: * never matches nothing", method: "GET", path: "/v1/echo/", status: 404},
	})
}

func TestBodies(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	bad := func(name, body, message string) scenario {
		return scenario{name: name, method: "POST", path: "/v1/echo", body: body, status: 400, want: `{"code": 3, "message": "~` + message + `"}`}
	}
	play(t, g, []scenario{
		{name: "Semantics 19: white space is an empty message", method: "POST", path: "/v1/echo", body: " \n", status: 200},
		{name: "Semantics 19: a body without a rule is ignored", method: "DELETE", path: "/v1/shelves/1/books/nope", body: `{"x": 1}`, status: 404},
		bad("Semantics 20: a second value", `{} {}`, "body"),
		bad("Semantics 20: duplicate keys", `{"int32Value": 1, "int32_value": 2}`, "int32"),
		bad("Semantics 20: out of range", `{"int32Value": 2147483648}`, "int32Value"),
		bad("Semantics 20: lone surrogate", `{"stringValue": "\ud800"}`, "stringValue"),
		bad("Semantics 20: unknown field", `{"nope": 1}`, "nope"),
		bad("Semantics 20: too deep", strings.Repeat(`{"messageValue":`, 200)+"{}"+strings.Repeat("}", 200), ""),
		bad("syntax", `{"int32Value": }`, "body"),
		{name: "Semantics 22: wrong type", method: "POST", path: "/v1/echo", body: "x", headers: []string{"Content-Type", "text/plain"}, status: 415},
		{name: "Semantics 22: charset is fine", method: "POST", path: "/v1/echo", body: `{"int32Value": 1}`, headers: []string{"Content-Type", "application/json; charset=utf-8"}, status: 200, want: `{"int32Value": 1}`},
		{name: "Semantics 22: none is JSON", method: "POST", path: "/v1/echo", body: `{"int32Value": 1}`, headers: []string{"Content-Type", ""}, status: 200, want: `{"int32Value": 1}`},
		{name: "Semantics 22: a form", method: "POST", path: "/v1/echo", body: "int32Value=1&strings=a&strings=b", headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 200, want: `{"int32Value": 1, "strings": ["a", "b"]}`},
		{name: "JSON sent as a form gets a hint", method: "POST", path: "/v1/echo", body: `{"int32Value": 1}`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 400, want: `{"message": "~application/json"}`},
		{name: "Semantics 20: unknown encoding", method: "POST", path: "/v1/echo", body: "{}", headers: []string{"Content-Encoding", "compress"}, status: 415},
		{name: "Semantics 23: the mask of a PATCH comes from the body", method: "PATCH", path: "/v1/shelves/1/books/1", body: `{"pages": 77}`, status: 200, want: `{"pages": 77}`},
	})
	t.Run("Semantics 23: what the mask leaves out stays", func(t *testing.T) {
		before := g.Do(t, "GET", "/v1/shelves/1/books/2", "")
		g.Do(t, "PATCH", "/v1/shelves/1/books/2", `{"pages": 5}`)
		after := g.Do(t, "GET", "/v1/shelves/1/books/2", "")
		var a, b map[string]any
		if json.Unmarshal([]byte(before.Body), &a) != nil || json.Unmarshal([]byte(after.Body), &b) != nil {
			t.Fatal("no JSON")
		}
		if a["title"] != b["title"] || b["pages"] != 5.0 {
			t.Errorf("title %v → %v, pages %v", a["title"], b["title"], b["pages"])
		}
	})
}

func TestBinaryBodies(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	wire := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 42)
	answer := g.Do(t, "POST", "/v1/echo", string(wire), "Content-Type", "application/x-protobuf", "Accept", "application/json")
	if answer.Status != 200 || contains(answer.Body, `{"int32Value": 42}`) != nil {
		t.Errorf("Semantics 22: binary in, JSON out: %d %s", answer.Status, answer.Body)
	}
	answer = g.Do(t, "POST", "/v1/echo", string(wire), "Content-Type", "application/x-protobuf", "Accept", "application/x-protobuf")
	if answer.Status != 200 || answer.Header.Get("Content-Type") != "application/x-protobuf" || answer.Body != string(wire) {
		t.Errorf("Semantics 22: response_body in binary: %d %q %q", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
	}
	answer = g.Do(t, "GET", "/v1/shelves/1/books/1/tags", "", "Accept", "application/x-protobuf")
	if answer.Status != 200 || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a list has no binary form: %d %q %q", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
	}
	answer = g.Do(t, "GET", "/v1/shelves/1", "", "Accept", "application/x-protobuf")
	if answer.Status != 200 || answer.Header.Get("Content-Type") != "application/x-protobuf" || !strings.Contains(answer.Body, "shelves/1") {
		t.Errorf("Semantics 22: binary out: %d %q %q", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
	}
	answer = g.Do(t, "POST", "/v1/echo", "\x08", "Content-Type", "application/x-protobuf")
	if answer.Status != 400 {
		t.Errorf("a broken message: %d %s", answer.Status, answer.Body)
	}
}

func TestHTTPBody(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	picture := string([]byte{0x89, 'P', 'N', 'G', 0, 1, 2, 255})
	if a := g.Do(t, "POST", "/v1/shelves/1/books/1/cover", picture, "Content-Type", "image/png"); a.Status != 200 {
		t.Fatalf("upload: %d %s", a.Status, a.Body)
	}
	a := g.Do(t, "GET", "/v1/shelves/1/books/1/cover", "")
	if a.Body != picture || a.Header.Get("Content-Type") != "image/png" {
		t.Errorf("Semantics 24: %q %q", a.Header.Get("Content-Type"), a.Body)
	}
}

func TestHeaders(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	play(t, g, []scenario{
		{name: "Semantics 31: malformed -bin metadata", method: "GET", path: "/v1/shelves/1", headers: []string{"Grpc-Metadata-X-Bin", "%"}, status: 400, want: `{"code": 3, "message": "~x-bin"}`},
		{name: "431", method: "GET", path: "/v1/shelves/1", headers: []string{"X-Large", strings.Repeat("a", 70_000)}, status: 431, want: `{"code": 8}`},
	})
}

func TestLimits(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "defaults: { limits: { max_body_bytes: 1000 } }\n"})
	big := `{"stringValue": "` + strings.Repeat("a", 2000) + `"}`
	if a := g.Do(t, "POST", "/v1/echo", big); a.Status != 413 || contains(a.Body, `{"code": 8}`) != nil {
		t.Errorf("Semantics 21: %d %s", a.Status, a.Body)
	}
	for name, packed := range map[string]string{"gzip": gzipped(t, big), "zstd": zstded(t, big), "br": brotlied(t, big)} {
		if a := g.Do(t, "POST", "/v1/echo", packed, "Content-Encoding", name); a.Status != 413 {
			t.Errorf("Semantics 21: %s of %d bytes: %d %s", name, len(packed), a.Status, a.Body)
		}
	}
}

func TestCompression(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	text := strings.Repeat("compress me ", 500)
	body := `{"stringValue": "` + text + `"}`
	for name, packed := range map[string]string{"gzip": gzipped(t, body), "zstd": zstded(t, body), "br": brotlied(t, body)} {
		if a := g.Do(t, "POST", "/v1/echo", packed, "Content-Encoding", name); a.Status != 200 || !strings.Contains(a.Body, text) {
			t.Errorf("%s in: %d", name, a.Status)
		}
	}
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
		"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	} {
		a := g.Do(t, "POST", "/v1/echo", body, "Accept-Encoding", name)
		if a.Header.Get("Content-Encoding") != name || !strings.Contains(a.Header.Get("Vary"), "Accept-Encoding") {
			t.Fatalf("%s out: %v", name, a.Header)
		}
		r, err := open(strings.NewReader(a.Body))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil || !strings.Contains(string(plain), text) {
			t.Errorf("%s out: %v, %d bytes", name, err, len(plain))
		}
	}
	if a := g.Do(t, "POST", "/v1/echo", body, "Accept-Encoding", "gzip;q=0"); a.Header.Get("Content-Encoding") != "" {
		t.Error("q=0 is compressed")
	}
	if a := g.Do(t, "POST", "/v1/echo", "no gzip", "Content-Encoding", "gzip"); a.Status != 400 {
		t.Errorf("not gzip: %d %s", a.Status, a.Body)
	}
	for path, want := range map[string]string{"/v1/echo": "gzip, zstd, br", "/v1/discuss:stream": "gzip, zstd"} {
		if a := g.Do(t, "POST", path, body, "Content-Encoding", "compress"); a.Status != 415 || a.Header.Get("Accept-Encoding") != want {
			t.Errorf("%s: an unknown encoding: %d %v", path, a.Status, a.Header)
		}
	}
	if a := g.Do(t, "POST", "/v1/discuss:stream", brotlied(t, body), "Content-Encoding", "br"); a.Status != 415 {
		t.Errorf("a stream in br: %d %s", a.Status, a.Body)
	}
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func brotlied(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstded(t *testing.T, s string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return string(w.EncodeAll([]byte(s), nil))
}

func TestErrors(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	// Semantics 25, by code.
	for code, want := range []int{0, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401} {
		if code == 0 {
			continue
		}
		a := g.Do(t, "GET", fmt.Sprintf("/v1/fail/%d?message=m", code), "")
		if a.Status != want || contains(a.Body, fmt.Sprintf(`{"code": %d, "message": "m", "details": []}`, code)) != nil {
			t.Errorf("Semantics 25: code %d: %d %s", code, a.Status, a.Body)
		}
	}
	if a := g.Do(t, "GET", "/v1/fail/5002", ""); a.Status != 500 || contains(a.Body, `{"code": 5002}`) != nil {
		t.Errorf("Semantics 55: %d %s", a.Status, a.Body)
	}
	rich := g.Do(t, "GET", "/v1/fail/3?rich=true", "")
	if err := contains(rich.Body, `{"details": [
		{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TOLD_TO"},
		{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "book.title"}]},
		{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"}]}`); err != nil {
		t.Errorf("Semantics 26: %v\n%s", err, rich.Body)
	}
}

func TestTimeouts(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, bad := range [][]string{
		{"Grpc-Timeout", "1x"}, {"Grpc-Timeout", "123456789S"}, {"Grpc-Timeout", "S"},
		{"Connect-Timeout-Ms", "12345678901"}, {"X-Request-Timeout", "soon"}, {"Request-Timeout", "-1"},
	} {
		if a := g.Do(t, "GET", "/v1/shelves/1", "", bad...); a.Status != 400 {
			t.Errorf("Semantics 32: %v: %d %s", bad, a.Status, a.Body)
		}
	}
	if a := g.Do(t, "GET", "/v1/shelves/1", "", "Grpc-Timeout", "0n"); a.Status != http.StatusGatewayTimeout {
		t.Errorf("Semantics 32: an expired one: %d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "GET", "/v1/shelves/1", "", "X-Request-Timeout", "30"); a.Status != 200 {
		t.Errorf("a good one: %d %s", a.Status, a.Body)
	}
}

// TestSlowBody: a body that does not arrive ends with the call's deadline.
func TestSlowBody(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 0.05\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil || string(head[9:]) != "408" && string(head[9:]) != "504" {
		t.Errorf("%q %v", head, err)
	}
}
