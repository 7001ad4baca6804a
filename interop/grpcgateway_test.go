package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	example "github.com/grpc-ecosystem/grpc-gateway/v2/examples/transom"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// startExample starts grpc-gateway's example server, its generated gateway and
// Transom in compatibility mode, both in front of that one server.
func startExample(t *testing.T) (reference *httptest.Server, g *gatewaytest.Gateway) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- example.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return startBoth(t, l.Addr().String())
}

// startBoth starts grpc-gateway and Transom in front of a server.
func startBoth(t *testing.T, address string) (reference *httptest.Server, g *gatewaytest.Gateway) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	handler, err := example.Gateway(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	reference = httptest.NewServer(handler)
	t.Cleanup(reference.Close)
	g = gatewaytest.Start(t, gatewaytest.Options{
		Backend: address, NoBookstore: true, Protos: exampleProtos(t),
		Config: "compatibility: GRPC_GATEWAY\n" + notHTTPRules,
	})
	return reference, g
}

// notHTTPRules replaces the two rules of the examples that http.proto forbids
// and Transom refuses by name: a verb with a colon, and a body below a field.
const notHTTPRules = `
http_rules:
  - selector: grpc.gateway.examples.internal.proto.examplepb.ABitOfEverythingService.DoubleColon
    post: "/v1/example/a_bit_of_everything/{uuid}:doubled"
  - selector: grpc.gateway.examples.internal.proto.examplepb.ABitOfEverythingService.CreateNestedBodyOneof
    post: "/v1/example/a_bit_of_everything/nested_body_oneof"
    body: payload
`

func exampleProtos(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/grpc-ecosystem/grpc-gateway/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	protos := map[string]string{}
	for _, name := range example.Protos {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), name))
		if err != nil {
			t.Fatal(err)
		}
		protos[name] = string(text)
	}
	return protos
}

// sent is one request that goes to both.
type sent struct {
	name, method, path, body string
	headers                  []string // name, value pairs
	// ownMessage: the error is the gateway's own, so that only its code can agree.
	ownMessage bool
	// differs is why Transom answers otherwise, and that on purpose; "" where it
	// does not. docs/compatibility.md has the same list.
	differs string
}

const everything = "/v1/example/a_bit_of_everything"

// formType is the Content-Type of a form.
const formType = "application/x-www-form-urlencoded"

var requests = []sent{
	{name: "unset fields are null", method: "GET", path: "/v1/example/echo/a/1"},
	{name: "an oneof in the path", method: "GET", path: "/v1/example/echo/a/1/de"},
	{name: "a nested oneof in the path", method: "GET", path: "/v1/example/echo1/a/7/hi"},
	{name: "a oneof of messages in the path", method: "GET", path: "/v1/example/echo2/hi"},
	{name: "a nested field in the path", method: "GET", path: "/v1/example/echo/nested/x"},
	{name: "query parameters", method: "GET", path: "/v1/example/echo/a/1?status.note=x&resourceId=y"},
	{name: "unknown query parameters are ignored", method: "GET", path: "/v1/example/echo/a/1?nothing=5&such.thing=6"},
	{name: "query parameters of the path are ignored", method: "GET", path: "/v1/example/echo/a/1?id=b&num=9"},
	{name: "query parameters beside a whole body are ignored", method: "POST", path: "/v1/example/echo_body?num=4", body: `{"id":"x"}`},
	{name: "response metadata", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x","num":"3","lang":"de"}`},
	{name: "response trailers", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"}`, headers: []string{"TE", "trailers"}},
	{name: "path wins over the body", method: "PUT", path: "/v1/example/echo_body/y", body: `{"progress":"3"}`},
	{name: "trailing JSON is ignored", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"} {"id":"y"}`},
	{name: "trailing rubbish is ignored", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"} }]`},
	{name: "an empty body", method: "POST", path: "/v1/example/echo_body"},
	{name: "an unknown JSON field", method: "POST", path: "/v1/example/echo_body", body: `{"nothing":1,"id":"x"}`},
	{name: "proto names in JSON", method: "POST", path: "/v1/example/echo_body", body: `{"line_num":"5"}`},
	{name: "broken JSON", method: "POST", path: "/v1/example/echo_body", body: `{"id":`, ownMessage: true},
	{name: "a wrong type", method: "POST", path: "/v1/example/echo_body", body: `{"id":5}`, ownMessage: true},
	{name: "a wrong path value", method: "GET", path: "/v1/example/echo/a/x", ownMessage: true},
	{name: "a wrong query value", method: "GET", path: "/v1/example/echo/a/1?lineNum=x", ownMessage: true},
	{name: "an unknown route", method: "GET", path: "/v1/nothing", ownMessage: true},
	{name: "a known path with another method", method: "DELETE", path: "/v1/example/echo/a/1", ownMessage: true},
	{name: "the method's own path", method: "POST", path: "/grpc.gateway.examples.internal.proto.examplepb.EchoService/Echo", body: "{}", ownMessage: true},
	{name: "a form POST to a GET route", method: "POST", path: "/v1/example/echo/a/1/de", body: "resourceId=y", headers: []string{"Content-Type", formType}},
	{name: "a form POST to a GET route with a query", method: "POST", path: "/v1/example/echo/a/1/de?status.note=n", body: "resourceId=y", headers: []string{"Content-Type", formType}},
	{name: "a form POST with X-HTTP-Method-Override", method: "POST", path: "/v1/example/echo_delete", body: "id=y&num=3", headers: []string{"Content-Type", formType, "X-HTTP-Method-Override", "delete"}},
	{name: "a JSON POST with X-HTTP-Method-Override", method: "POST", path: "/v1/example/echo_delete", body: "{}", headers: []string{"X-HTTP-Method-Override", "DELETE"}, ownMessage: true},
	{name: "a form POST to a DELETE route", method: "POST", path: "/v1/example/echo_delete", body: "id=y", headers: []string{"Content-Type", formType}, ownMessage: true},
	{name: "an error of the backend", method: "GET", path: "/v1/example/echo_unauthorized", differs: "a status message is no challenge: WWW-Authenticate is the policies' to write"},
	{name: "an error with metadata", method: "GET", path: everything + "/none"},
	{name: "an error with details", method: "GET", path: "/v2/example/errorwithdetails"},
	{name: "a deadline", method: "GET", path: "/v2/example/timeout", headers: []string{"Grpc-Timeout", "50m"}, ownMessage: true},
	{name: "a bad deadline", method: "GET", path: "/v2/example/timeout", headers: []string{"Grpc-Timeout", "soon"}, ownMessage: true},
	{name: "everything", method: "POST", path: "/v1/example/deep_path/x", body: `{"int64Value":"5","nested":[{"name":"n","amount":3,"ok":"TRUE"}],"enumValue":"ONE","mappedStringValue":{"a":"b"},"mapValue":{"k":"ONE"},"timestampValue":"2026-01-02T03:04:05Z","oneofEmpty":{},"bytesValue":"AQI="}`},
	{name: "everything unset", method: "POST", path: "/v1/example/deep_path/x", body: `{}`},
	{name: "query parameters of everything", method: "GET", path: everything + "/params/get/foo?double_value=1.5&single_nested.amount=3&repeated_string_value=a&repeated_string_value=b,c&mapped_string_value[x]=y&enum_value=ONE&timestamp_value=2026-01-02T03:04:05Z&repeated_enum_value=1&bytes_value=AQI"},
	{name: "an enum in the path", method: "GET", path: everything + "/params/get/nested_enum/TRUE"},
	{name: "an enum in the path by number", method: "GET", path: everything + "/params/get/nested_enum/1"},
	{name: "query parameters beside a body", method: "POST", path: everything + "/params/post/foo%20bar?single_nested.name=x&double_value=2", body: `{"name":"bar"}`},
	{name: "repeated path values", method: "GET", path: everything + "_repeated/1.5,2/3,4.5/1,2/3/4,5/6/7,8/true,false/a,b/AQI=,Ag==/3/1,0/2/3,4/5/6,7"},
	{name: "a wrong repeated path value", method: "GET", path: everything + "_repeated/1.5,x/3/1/3/4/6/7/true/a/AQI=/3/1/2/3/5/6", ownMessage: true},
	{name: "a bare body", method: "POST", path: "/v2/example/echo", body: `"hello"`},
	{name: "a query beside additional bindings", method: "GET", path: "/v2/example/echo?value=v"},
	{name: "a HEAD rule", method: "HEAD", path: "/v2/example/a_bit_of_everything/none"},
	{name: "an OPTIONS rule", method: "OPTIONS", path: "/v2/example/a_bit_of_everything/x", differs: "OPTIONS answers Allow and preflights wherever there is a route"},
	{name: "a verb", method: "POST", path: everything + "/none:custom"},
	{name: "an enum of another file", method: "GET", path: "/v2/GHI:check", ownMessage: true},
	{name: "nested unset messages", method: "GET", path: "/v1/example/checkStatus"},
	{name: "a wrapper", method: "GET", path: "/v2/example/overwriteresponsecontenttype"},
	{name: "a body and a mask of the client", method: "PATCH", path: "/v1/example/echo_patch?updateMask=struct_field", body: `{"structField":{"a":1}}`},
	{name: "a mask from the body", method: "PATCH", path: "/v1/example/echo_patch", body: `{"structField":{"a":{"b":1}},"valueField":{"x":1}}`, differs: "a mask stops at Struct and Value, whose keys are no fields"},
	{name: "a mask of other names", method: "PATCH", path: "/v1/example/non_standard/update", body: `{"id":"x","Num":"3","thing":{"subThing":{"sub_value":"hi"}}}`},
	{name: "a mask of JSON names", method: "PATCH", path: "/v1/example/non_standard/update_with_json_names", body: `{"ID":"x","Thingy":{"SubThing":{"sub_Value":"hi"}}}`},
	{name: "response_body, a message", method: "GET", path: "/responsebody/foo"},
	{name: "response_body, a list", method: "GET", path: "/responsebodies/foo"},
	{name: "response_body, strings", method: "GET", path: "/responsestrings/foo"},
	{name: "response_body, an empty list", method: "GET", path: "/responsestrings/empty"},
	{name: "response_body, a scalar", method: "GET", path: "/responsebody/samename/foo"},
	{name: "a stream", method: "GET", path: "/responsebody/stream/foo"},
	{name: "a stream under application/json", method: "GET", path: "/responsebody/stream/foo", headers: []string{"Accept", "application/json"}},
	{name: "a stream that fails at once", method: "GET", path: everything + "?error=true"},
	{name: "a GET with a body", method: "GET", path: "/v1/example/echo/a/1", body: `{"id":"b"}`},
	{name: "a PUT of everything", method: "PUT", path: everything + "/none", body: `{"uuid":"y","stringValue":"s"}`},
	{name: "a nested path variable and a body", method: "PATCH", path: "/v2/example/a_bit_of_everything/none", body: `{"stringValue":"s"}`},
	{name: "a DELETE", method: "DELETE", path: everything + "/none"},
	{name: "a singular query parameter twice", method: "GET", path: "/v1/example/echo/a/1?resourceId=x&resourceId=y", ownMessage: true},
	{name: "two members of a oneof", method: "GET", path: "/v1/example/echo/a/1?lineNum=1&lang=de", ownMessage: true},
	{name: "an enum by number in the body", method: "POST", path: "/v1/example/deep_path/x", body: `{"enumValue":1,"repeatedEnumValue":["ONE",0]}`},
	{name: "an unknown enum name in the body", method: "POST", path: "/v1/example/deep_path/x", body: `{"enumValue":"TWO"}`, ownMessage: true},
	{name: "numbers as strings and strings as numbers", method: "POST", path: "/v1/example/deep_path/x", body: `{"int32Value":"5","uint64Value":7,"doubleValue":"NaN","floatValue":"1e3"}`},
	{name: "null unsets", method: "POST", path: "/v1/example/deep_path/x", body: `{"stringValue":null,"nested":null,"timestampValue":null}`},
	{name: "a bool in the query", method: "GET", path: everything + "/params/get/foo?bool_value=t", ownMessage: true, differs: "a boolean is true, false, 1 or 0"},
	{name: "a bool by its name", method: "GET", path: everything + "/params/get/foo?bool_value=true"},
	{name: "a message in the query", method: "GET", path: everything + "/params/get/foo?nested=x", ownMessage: true},
	{name: "an empty query value", method: "GET", path: everything + "/params/get/foo?int64_value=", ownMessage: true},
	{name: "an Empty in the query", method: "GET", path: everything + "/params/get/foo?oneof_empty="},
	{name: "an Empty in the query, as JSON", method: "GET", path: everything + "/params/get/foo?oneof_empty=%7B%7D"},
	{name: "an Empty in the query that is none", method: "GET", path: everything + "/params/get/foo?oneof_empty=x", ownMessage: true},
	{name: "a message without a value in the query", method: "GET", path: everything + "/params/get/foo?single_nested=", ownMessage: true},
	{name: "a deeper query parameter", method: "GET", path: everything + "/params/get/foo?singleNested.deep.x=1&mapped_string_value[a]=1&mapped_string_value[b]=2"},
	{name: "an escaped path value", method: "GET", path: "/v1/example/echo/a%20b%3Fc+d/1"},
	{name: "an escaped slash in a path value", method: "GET", path: "/v1/example/echo/a%2Fb/1", differs: "an escaped slash does not cut a segment in two"},
	{name: "a wrong escape", method: "GET", path: "/v1/example/echo/nested/x?resourceId=%zz", ownMessage: true},
	{name: "a trailing slash", method: "GET", path: "/v1/example/echo/a/1/", ownMessage: true, differs: "a path segment that is empty matches no variable"},
	{name: "an empty segment", method: "GET", path: "/v1/example/echo//1", ownMessage: true, differs: "a path segment that is empty matches no variable"},
	{name: "a semicolon in the query", method: "GET", path: "/v1/example/echo/a/1?resourceId=x;y", differs: "a semicolon is an ordinary character of a query"},
	{name: "a body of white space", method: "POST", path: "/v1/example/echo_body", body: "  "},
	{name: "a body under another type", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"}`, headers: []string{"Content-Type", "text/plain"}},
	{name: "a body with a charset", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"}`, headers: []string{"Content-Type", "application/json; charset=utf-8"}},
	{name: "JSON as curl -d sends it", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x"}`, headers: []string{"Content-Type", formType}},
	{name: "a form as the body", method: "POST", path: "/v1/example/echo_body", body: `id=x`, headers: []string{"Content-Type", formType}, ownMessage: true, differs: "a form is read where the rule has a body, too"},
	{name: "a key twice", method: "POST", path: "/v1/example/echo_body", body: `{"id":"x","id":"y"}`, ownMessage: true},
	{name: "an error with trailers", method: "GET", path: everything + "/none", headers: []string{"TE", "trailers"}},
	{name: "bad binary metadata", method: "GET", path: "/v1/example/echo/a/1", headers: []string{"Grpc-Metadata-X-Bin", "%%"}, ownMessage: true, differs: "Grpc-Metadata-* request headers are metadata, as in grpc-gateway with its LegacyHeaderMatcher"},
	{name: "a stream of HttpBody", method: "GET", path: "/v1/example/download", differs: "chunks are joined with nothing between them, so that a file arrives as it is"},
	{name: "a client stream", method: "POST", path: everything + "/bulk", body: `{"stringValue":"a"}` + "\n" + `{"stringValue":"b"}`},
	{name: "a bidi stream", method: "POST", path: everything + "/echo", body: `{"value":"a"}` + "\n" + `{"value":"b"}`},
	{name: "a bidi stream of nothing", method: "POST", path: everything + "/echo", differs: "an empty stream has a Content-Type"},
	{name: "a bidi stream that breaks", method: "POST", path: everything + "/echo", body: `{"value":"a"} {`, ownMessage: true, differs: "a broken body is an error, not a shorter stream with 200"},
	{name: "a bidi stream that is longer", method: "POST", path: everything + "/echo", body: strings.Repeat(`{"value":"a"}`+"\n", 100)},
}

// TestGRPCGateway sends the same requests to grpc-gateway and to Transom with
// compatibility: GRPC_GATEWAY. Semantics 56.
func TestGRPCGateway(t *testing.T) {
	reference, g := startExample(t)
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			found := compare("grpc-gateway", send(t, reference.URL, r), send(t, g.URL, r), r.ownMessage)
			switch {
			case r.differs == "" && found != "":
				t.Error(found)
			case r.differs != "" && found == "":
				t.Errorf("the answers are the same now; take it off the list: %s", r.differs)
			}
		})
	}
}

// compare says where two answers differ, "" for nowhere. The text of messages
// does not count with codeOnly.
func compare(reference string, theirs, ours answer, codeOnly bool) string {
	var found strings.Builder
	if theirs.status != ours.status {
		fmt.Fprintf(&found, "status %d from %s, %d from Transom\n", theirs.status, reference, ours.status)
	}
	if !sameJSON(theirs.body, ours.body, codeOnly) {
		fmt.Fprintf(&found, "different bodies:\n%-12s %s\nTransom      %s\n", reference, theirs.body, ours.body)
	}
	for _, of := range []struct {
		what         string
		theirs, ours http.Header
	}{{"header", theirs.header, ours.header}, {"trailer", theirs.trailer, ours.trailer}} {
		if !reflect.DeepEqual(of.theirs, of.ours) {
			fmt.Fprintf(&found, "different %s:\n%-12s %v\nTransom      %v\n", of.what, reference, of.theirs, of.ours)
		}
	}
	return found.String()
}

type answer struct {
	status          int
	body            string
	header, trailer http.Header
}

func send(t *testing.T, base string, r sent) answer {
	t.Helper()
	a := ask(t, base, r)
	a.header, a.trailer = that(a.header), that(a.trailer)
	return a
}

// ask is send that keeps all headers.
func ask(t *testing.T, base string, r sent) answer {
	t.Helper()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	request, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(r.headers); i += 2 {
		request.Header.Set(r.headers[i], r.headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		text = append(text, " and breaks off"...)
	}
	return answer{status: response.StatusCode, body: string(text), header: response.Header, trailer: response.Trailer}
}

// that keeps the headers that matter to a client. Grpc-Metadata-Content-Type is
// always application/grpc, which says nothing and which Transom leaves out.
func that(h http.Header) http.Header {
	kept := http.Header{}
	for name, values := range h {
		if name == "Grpc-Metadata-Content-Type" {
			continue
		}
		if name == "Content-Type" || name == "Www-Authenticate" || strings.HasPrefix(name, "Grpc-") {
			kept[name] = values
		}
	}
	return kept
}

// sameJSON compares sequences of JSON values. codeOnly compares errors by their
// code.
func sameJSON(a, b string, codeOnly bool) bool {
	decode := func(s string) (values []any) {
		d := json.NewDecoder(strings.NewReader(s))
		for {
			var v any
			if err := d.Decode(&v); err == io.EOF {
				return values
			} else if err != nil {
				return []any{s}
			}
			if codeOnly {
				forgetMessage(v)
			}
			values = append(values, v)
		}
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// forgetMessage takes the text out of an error, also one in an envelope.
func forgetMessage(v any) {
	object, ok := v.(map[string]any)
	if !ok {
		return
	}
	delete(object, "message")
	forgetMessage(object["error"])
}
