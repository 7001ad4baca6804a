package interop

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// envoyAnswers are what Envoy answered. ENVOY=/path/to/envoy go test -run Envoy .
// -record asks that binary, and writes the file anew; without -record, Transom is
// compared to the binary's answers and the file stays as it is.
const envoyAnswers = "testdata/envoy.json"

var rewrite = flag.Bool("record", false, "write the answers of the Envoy that ENVOY names to "+envoyAnswers)

// recording is the file of answers.
type recording struct {
	// Envoy is what the binary says its version is.
	Envoy string
	// Date is the day of the recording, 2006-01-02.
	Date    string
	Answers map[string]recorded
	// Metadata are the answers of a service that sends metadata of its own.
	Metadata map[string]recorded
}

// recorded is an answer as it stands in the file.
type recorded struct {
	Status  int
	Body    string      `json:",omitempty"`
	Binary  []byte      `json:",omitempty"` // a body that is no text
	Header  http.Header `json:",omitempty"`
	Trailer http.Header `json:",omitempty"`
	// Service is the metadata that the service got, where it was asked.
	Service map[string][]string `json:",omitempty"`
}

// wholeAnswers are the rules with response_body, without it: Envoy does not start
// with them.
const wholeAnswers = `
http_rules:
  - selector: bookstore.v1.BookstoreService.ListTags
    get: "/v1/{name=shelves/*/books/*}/tags"
  - selector: bookstore.v1.BookstoreService.Echo
    post: "/v1/echo"
    body: specimen
    additional_bindings: [{ get: "/v1/echo/{specimen.string_value}" }]
`

const specimen = "/v1/echo/x?specimen."

var envoyRequests = []sent{
	{name: "unset fields are left out", method: "GET", path: "/v1/echo/x"},
	{name: "an empty answer", method: "POST", path: "/v1/fail", body: `{"code":0}`},
	{name: "scalars", method: "POST", path: "/v1/echo", body: `{"doubleValue":1.5,"floatValue":0.1,"int32Value":-3,"int64Value":"-9007199254740993","uint64Value":"18446744073709551615","boolValue":true,"bytesValue":"AP8=","enumValue":"HISTORY","fixed64Value":7}`},
	{name: "numbers as strings and strings as numbers", method: "POST", path: "/v1/echo", body: `{"int32Value":"5","uint64Value":7,"doubleValue":"1e3"}`},
	{name: "numbers that are none", method: "POST", path: "/v1/echo", body: `{"doubleValue":"NaN","floatValue":"-Infinity"}`},
	{name: "exponents", method: "POST", path: "/v1/echo", body: `{"int32Value":1e3,"int64Value":1.0,"doubleValue":1e21,"floatValue":1e-7}`},
	{name: "strings with escapes", method: "POST", path: "/v1/echo", body: `{"stringValue":"\u00e9<>&\u2028\"\\\n\t\u0001\ud83d\ude00/"}`},
	{name: "base64 of another alphabet", method: "POST", path: "/v1/echo", body: `{"bytesValue":"-_8"}`},
	{name: "an enum by number", method: "POST", path: "/v1/echo", body: `{"enumValue":2,"enums":[1,"SCIENCE"]}`},
	{name: "an enum's number that has no name", method: "POST", path: "/v1/echo", body: `{"enumValue":99}`},
	{name: "an enum's name that is none", method: "POST", path: "/v1/echo", body: `{"enumValue":"NOTHING"}`, ownMessage: true},
	{name: "an enum in lower case", method: "POST", path: "/v1/echo", body: `{"enumValue":"history"}`, ownMessage: true},
	{name: "optional fields that are zero", method: "POST", path: "/v1/echo", body: `{"optionalInt32":0,"optionalString":"","int32Value":0}`},
	{name: "a member of a oneof that is zero", method: "POST", path: "/v1/echo", body: `{"choiceNumber":0}`},
	{name: "two members of a oneof", method: "POST", path: "/v1/echo", body: `{"choiceNumber":1,"choiceText":"x"}`, ownMessage: true},
	{name: "lists and maps", method: "POST", path: "/v1/echo", body: `{"strings":["a",""],"int64s":["1",2],"stringMap":{"k":"v"},"enumMap":{"1":"HISTORY"},"boolMap":{"true":1},"messageMap":{"7":{"int32Value":1}}}`},
	{name: "empty lists and maps", method: "POST", path: "/v1/echo", body: `{"strings":[],"stringMap":{},"messageValue":{}}`},
	{name: "null unsets", method: "POST", path: "/v1/echo", body: `{"stringValue":null,"strings":null,"messageValue":null,"timestamp":null}`},
	{name: "null in a list", method: "POST", path: "/v1/echo", body: `{"strings":["a",null]}`, differs: "a null in a list of strings is a mistake, not one element less"},
	{name: "well-known types", method: "POST", path: "/v1/echo", body: `{"timestamp":"2026-01-02T03:04:05.5Z","duration":"1.250s","fieldMask":"aB,c.dE","struct":{"a":[1,null,"x",{"b":true}]},"list":[1],"empty":{},"int64Wrapper":"5","boolWrapper":false,"stringWrapper":""}`},
	{name: "a value", method: "POST", path: "/v1/echo", body: `{"value":{"a":1.5}}`},
	{name: "a value that is null", method: "POST", path: "/v1/echo", body: `{"value":null}`},
	{name: "an Any", method: "POST", path: "/v1/echo", body: `{"any":{"@type":"type.googleapis.com/bookstore.v1.GetShelfRequest","name":"n"}}`},
	{name: "an Any of a well-known type", method: "POST", path: "/v1/echo", body: `{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}}`},
	{name: "an Any of nothing known", method: "POST", path: "/v1/echo", body: `{"any":{"@type":"type.googleapis.com/no.such.Type","a":1}}`, ownMessage: true},
	{name: "a timestamp with an offset", method: "POST", path: "/v1/echo", body: `{"timestamp":"2026-01-02T03:04:05+02:00"}`},
	{name: "a timestamp that is none", method: "POST", path: "/v1/echo", body: `{"timestamp":"yesterday"}`, ownMessage: true},
	{name: "another JSON name", method: "POST", path: "/v1/echo", body: `{"Odd-Name":"a"}`},
	{name: "proto names", method: "POST", path: "/v1/echo", body: `{"string_value":"a","odd_name":"b"}`},
	{name: "an unknown field", method: "POST", path: "/v1/echo", body: `{"nothing":{"a":[1]},"stringValue":"x"}`},
	{name: "a key twice", method: "POST", path: "/v1/echo", body: `{"stringValue":"x","stringValue":"y"}`, differs: "a field is said once"},
	{name: "a wrong type", method: "POST", path: "/v1/echo", body: `{"stringValue":5}`, ownMessage: true},
	{name: "a number out of range", method: "POST", path: "/v1/echo", body: `{"int32Value":3000000000}`, ownMessage: true},
	{name: "broken JSON", method: "POST", path: "/v1/echo", body: `{"stringValue":`, ownMessage: true},
	{name: "trailing JSON", method: "POST", path: "/v1/echo", body: `{"stringValue":"x"} {"stringValue":"y"}`, ownMessage: true},
	{name: "JavaScript", method: "POST", path: "/v1/echo", body: `{stringValue:'x',}`, differs: "JSON has quotes"},
	{name: "a trailing comma", method: "POST", path: "/v1/echo", body: `{"stringValue":"x",}`, differs: "JSON has no trailing commas"},
	{name: "a list for a message", method: "POST", path: "/v1/echo", body: `[{"stringValue":"x"}]`, ownMessage: true},
	{name: "a text for a message", method: "POST", path: "/v1/echo", body: `"x"`, ownMessage: true},
	{name: "an empty body", method: "POST", path: "/v1/echo", differs: "without a body its field is unset"},
	{name: "a body of white space", method: "POST", path: "/v1/echo", body: "  ", differs: "white space is an empty body"},
	{name: "a body under another type", method: "POST", path: "/v1/echo", body: `{"stringValue":"x"}`, headers: []string{"Content-Type", "text/plain"}},
	{name: "JSON under a form's type", method: "POST", path: "/v1/echo", body: `{"stringValue":"x"}`, headers: []string{"Content-Type", formType}},
	{name: "a charset", method: "POST", path: "/v1/echo", body: `{"stringValue":"x"}`, headers: []string{"Content-Type", "application/json; charset=utf-8"}},
	{name: "nested 50 deep", method: "POST", path: "/v1/echo", body: strings.Repeat(`{"messageValue":`, 50) + "{}" + strings.Repeat("}", 50)},

	{name: "query parameters", method: "GET", path: specimen + "int32Value=5&specimen.bool_value=true&specimen.enumValue=HISTORY&specimen.doubleValue=1.5"},
	{name: "a repeated query parameter", method: "GET", path: specimen + "strings=a&specimen.strings=b,c"},
	{name: "a nested query parameter", method: "GET", path: specimen + "messageValue.messageValue.int32Value=1"},
	{name: "a singular query parameter twice", method: "GET", path: specimen + "int32Value=5&specimen.int32Value=6", differs: "a field is said once"},
	{name: "an unknown query parameter", method: "GET", path: "/v1/echo/x?nothing=1", differs: "what no rule takes is answered here, not handed on"},
	{name: "a message in the query", method: "GET", path: specimen + "messageValue=x", ownMessage: true},
	{name: "a map in the query", method: "GET", path: specimen + "stringMap[a]=x", differs: "maps can be written in a query"},
	{name: "a timestamp in the query", method: "GET", path: specimen + "timestamp=2026-01-02T03:04:05Z"},
	{name: "a duration in the query", method: "GET", path: specimen + "duration=1.5s"},
	{name: "a field mask in the query", method: "GET", path: specimen + "fieldMask=a,b"},
	{name: "a wrapper in the query", method: "GET", path: specimen + "int32Wrapper=5"},
	{name: "bytes in the query", method: "GET", path: specimen + "bytesValue=AP8%3D"},
	{name: "an enum's number in the query", method: "GET", path: specimen + "enumValue=2"},
	{name: "a wrong number in the query", method: "GET", path: specimen + "int32Value=x", ownMessage: true},
	{name: "a wrong enum in the query", method: "GET", path: specimen + "enumValue=NOTHING", ownMessage: true},
	{name: "a boolean of another form", method: "GET", path: specimen + "boolValue=1"},
	{name: "a boolean that is none", method: "GET", path: specimen + "boolValue=yes", differs: "a boolean is true, false, 1 or 0"},
	{name: "an empty query value", method: "GET", path: specimen + "int32Value=", ownMessage: true},
	{name: "a query parameter without a value", method: "GET", path: specimen + "optionalString", differs: "it is the empty value"},
	{name: "a plus in the query", method: "GET", path: specimen + "optionalString=a+b%2Bc%20d"},
	{name: "UTF-8 in the query", method: "GET", path: specimen + "optionalString=%C3%A9"},
	{name: "bytes that are no UTF-8 in the query", method: "GET", path: specimen + "optionalString=%FF", differs: "they are refused before the service is asked"},
	{name: "a wrong escape in the query", method: "GET", path: specimen + "optionalString=%zz", differs: "it is refused"},
	{name: "a semicolon in the query", method: "GET", path: specimen + "optionalString=a;b"},
	{name: "a query parameter of the path", method: "GET", path: specimen + "stringValue=y", differs: "the path wins over the query"},
	{name: "a query beside a named body", method: "POST", path: "/v1/shelves/99/books?validateOnly=true&bookId=n", body: `{"title":"t"}`},
	{name: "a query beside a whole body", method: "POST", path: "/v1/fail?code=5", body: `{"message":"m"}`, differs: "http.proto: the body is the whole message"},
	{name: "a query for a field of the body", method: "POST", path: "/v1/echo?specimen.int32Value=5", body: `{"stringValue":"x"}`, differs: "http.proto: the query is for what neither path nor body has"},

	{name: "an escaped path value", method: "GET", path: "/v1/echo/a%20b%3Fc+d"},
	{name: "an escaped slash in one segment", method: "GET", path: "/v1/echo/a%2Fb"},
	{name: "an escaped slash in several segments", method: "GET", path: "/v1/shelves/1%2Fbooks%2F1"},
	{name: "an escaped percent in several segments", method: "GET", path: "/v1/shelves/%31/books/%31"},
	{name: "a path value that is not there", method: "GET", path: "/v1/echo/", differs: "what no rule takes is answered here, not handed on"},
	{name: "a trailing slash", method: "GET", path: "/v1/shelves/"},
	{name: "a double slash", method: "GET", path: "/v1//shelves", differs: "what no rule takes is answered here, not handed on"},
	{name: "a dot in the path", method: "GET", path: "/v1/echo/."},
	{name: "a verb", method: "POST", path: "/v1/shelves/1/books/1:move", body: `{"otherShelf":"shelves/9"}`},
	{name: "a colon in a value", method: "GET", path: "/v1/echo/a:b"},
	{name: "an escaped colon before a verb", method: "POST", path: "/v1/shelves/1/books/1%3Amove", body: `{}`, differs: "what no rule takes is answered here, not handed on"},
	{name: "an additional binding", method: "GET", path: "/v1/books?pageSize=1"},
	{name: "a message's answer", method: "GET", path: "/v1/shelves/1"},
	{name: "a list", method: "GET", path: "/v1/shelves?pageSize=2"},

	{name: "an unknown route", method: "GET", path: "/v2/nothing", differs: "what no rule takes is answered here, not handed on"},
	{name: "another method", method: "PUT", path: "/v1/echo", body: "{}", differs: "what no rule takes is answered here, not handed on"},
	{name: "HEAD", method: "HEAD", path: "/v1/echo/x", differs: "what no rule takes is answered here, not handed on"},
	{name: "OPTIONS", method: "OPTIONS", path: "/v1/echo", differs: "what no rule takes is answered here, not handed on"},
	{name: "the method's own path", method: "POST", path: "/bookstore.v1.BookstoreService/GetShelf", body: `{"name":"shelves/1"}`, differs: "what no rule takes is answered here, not handed on"},

	{name: "a service's error", method: "GET", path: "/v1/shelves/99"},
	{name: "an error with details", method: "POST", path: "/v1/fail", body: `{"code":3,"message":"wrong","rich":true}`},
	{name: "an error's message with other characters", method: "POST", path: "/v1/fail", body: `{"code":9,"message":"50% é\n"}`},
	{name: "an unknown code", method: "GET", path: "/v1/fail/5002"},
	{name: "CANCELLED", method: "GET", path: "/v1/fail/1"},
	{name: "UNKNOWN", method: "GET", path: "/v1/fail/2"},
	{name: "DEADLINE_EXCEEDED", method: "GET", path: "/v1/fail/4"},
	{name: "ALREADY_EXISTS", method: "GET", path: "/v1/fail/6"},
	{name: "PERMISSION_DENIED", method: "GET", path: "/v1/fail/7"},
	{name: "RESOURCE_EXHAUSTED", method: "GET", path: "/v1/fail/8"},
	{name: "FAILED_PRECONDITION", method: "GET", path: "/v1/fail/9"},
	{name: "ABORTED", method: "GET", path: "/v1/fail/10"},
	{name: "OUT_OF_RANGE", method: "GET", path: "/v1/fail/11"},
	{name: "UNIMPLEMENTED", method: "GET", path: "/v1/fail/12"},
	{name: "INTERNAL", method: "GET", path: "/v1/fail/13"},
	{name: "UNAVAILABLE", method: "GET", path: "/v1/fail/14"},
	{name: "DATA_LOSS", method: "GET", path: "/v1/fail/15"},
	{name: "UNAUTHENTICATED", method: "GET", path: "/v1/fail/16"},

	{name: "HttpBody", method: "GET", path: "/"},
	{name: "HttpBody, binary", method: "GET", path: "/v1/shelves/1/books/1/cover"},
	{name: "HttpBody of a request", method: "POST", path: "/v1/shelves/2/books/9/cover", body: "GIF89a", headers: []string{"Content-Type", "image/gif"}},
	{name: "a stream", method: "GET", path: "/v1/shelves/1/books:watch?count=2&interval=0s"},
	{name: "a stream that fails after messages", method: "GET", path: "/v1/shelves/1/books:watch?count=1&interval=0s&failCode=15", differs: "an array that is not whole is broken off"},
	{name: "a stream that fails at once", method: "GET", path: "/v1/shelves/99/books:watch?count=1"},
	{name: "a stream of HttpBody", method: "GET", path: "/v1/shelves/1/books/1:content"},
	{name: "a client stream", method: "POST", path: "/v1/shelves/9/books:import", body: `[]`},
	{name: "a bidi stream", method: "POST", path: "/v1/discuss:stream", body: `[{"text":"a"},{"text":"b"}]`},
	{name: "a bidi stream of nothing", method: "POST", path: "/v1/discuss:stream", body: `[]`},
	{name: "a bidi stream of no list", method: "POST", path: "/v1/discuss:stream", body: `{"text":"a"}`, differs: "a stream may also be concatenated JSON"},
	{name: "a bidi stream that breaks", method: "POST", path: "/v1/discuss:stream", body: `[{"text":"a"`, ownMessage: true},
	{name: "a bidi stream that fails", method: "POST", path: "/v1/discuss:stream", body: `[{"failure":{"code":5,"message":"gone"}}]`},

	{name: "a deadline", method: "GET", path: "/v1/shelves/1/books:watch?count=5&interval=5s", headers: []string{"Grpc-Timeout", "50m"}, differs: "an array that is not whole is broken off"},
	{name: "a bad deadline", method: "GET", path: "/v1/shelves", headers: []string{"Grpc-Timeout", "soon"}, differs: "it is refused before the service is asked"},
	{name: "Accept of nothing there is", method: "GET", path: "/v1/echo/x", headers: []string{"Accept", "image/png"}},
	{name: "a GET with a body", method: "GET", path: "/v1/echo/x", body: `{"int32Value":5}`},
}

// TestEnvoy compares Transom with compatibility: ENVOY to the answers of a real
// Envoy whose grpc_json_transcoder has none of its options set. Semantics 56.
func TestEnvoy(t *testing.T) {
	backend := gatewaytest.StartBookstore(t)
	l, listening := startListener(t)
	reference := envoyReference(t, backend, l, listening)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: backend, Config: "compatibility: ENVOY\n" + wholeAnswers})
	for _, r := range envoyRequests {
		t.Run(r.name, func(t *testing.T) {
			want, got := expected(t, reference.Answers, r.name).answer(), send(t, g.URL, r)
			got.body = withoutClock(got.body)
			if r.ownMessage { // plain text there, a google.rpc.Status here
				want, got = answer{status: want.status}, answer{status: got.status}
			}
			verdict(t, r, compare("Envoy", want, got, false))
		})
	}
	if len(reference.Answers) != len(envoyRequests) {
		t.Errorf("%s holds %d answers to %d requests", envoyAnswers, len(reference.Answers), len(envoyRequests))
	}
	compareEnvoyMetadata(t, reference, l, listening)
}

// envoyReference is the file, or what the Envoy answers that ENVOY names.
func envoyReference(t *testing.T, backend string, l *listener, listening string) recording {
	t.Helper()
	binary := os.Getenv("ENVOY")
	if binary != "" {
		live := record(t, binary, backend, l, listening)
		if *rewrite {
			write(t, live)
		}
		return live
	}
	if *rewrite {
		t.Fatal("-record wants an Envoy: ENVOY=/path/to/envoy")
	}
	var kept recording
	text, err := os.ReadFile(envoyAnswers)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	return kept
}

func expected(t *testing.T, answers map[string]recorded, name string) recorded {
	t.Helper()
	theirs, known := answers[name]
	if !known {
		t.Fatalf("%s holds no answer; record it: ENVOY=/path/to/envoy go test -run Envoy . -record", envoyAnswers)
	}
	return theirs
}

var clock = regexp.MustCompile(`"time":"[^"]*"`)

// withoutClock makes answers alike whose only difference is when they were given.
func withoutClock(body string) string { return clock.ReplaceAllString(body, `"time":"now"`) }

// verdict fails the test where what was found does not agree with r.differs.
func verdict(t *testing.T, r sent, found string) {
	t.Helper()
	switch {
	case r.differs == "" && found != "":
		t.Error(found)
	case r.differs != "" && found == "":
		t.Errorf("the answers are the same now; take it off the list: %s", r.differs)
	}
}

func (r recorded) answer() answer {
	a := answer{status: r.Status, body: r.Body, header: r.Header, trailer: r.Trailer}
	if r.Binary != nil {
		a.body = string(r.Binary)
	}
	for _, of := range []*http.Header{&a.header, &a.trailer} {
		if *of == nil {
			*of = http.Header{}
		}
		if of.Get("Grpc-Status") == "0" { // that all is well is not sent
			of.Del("Grpc-Status")
			of.Del("Grpc-Message")
		}
	}
	return a
}
