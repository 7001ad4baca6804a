package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// hostileProto has markup, names and types that whoever shows them may stumble over.
const hostileProto = `syntax = "proto3";
package http;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
// </script><script>alert(1)</script> <img src=x onerror=alert(1)> ` + "`</code><b>`" + ` <!-- --> ]]> \u2028 {{7*7}}
//
// --- "a": b # c ` + "\u202eturned\u202c \x1b[31m" + `
service http {
  // <h1 id="main">
  rpc Get(Odd) returns (Odd) { option (google.api.http) = { get: "/v1/$(id)/{plain}/$HOME/{brace}" }; }
  rpc Any_(Odd) returns (Odd) { option (google.api.http) = { custom { kind: "*" path: "/v1/any" } }; }
  rpc Any__put(Odd) returns (Odd) { option (google.api.http) = { post: "/v1/put" body: "*" }; }
  rpc Deep(D0) returns (D30) { option (google.api.http) = { get: "/v1/deep" }; }
  rpc Watch(Odd) returns (stream Odd) { option (google.api.http) = { post: "/v1/watch" body: "*" }; }
  rpc Watch_WebSocket(Odd) returns (Odd);
}
// </td><td onclick=alert(1)>
message Odd {
  string plain = 1;
  string brace = 2 [json_name = "a}b/{c"];
  string quoted = 3 [json_name = "\"; $(touch x) ` + "`id`" + ` '", (google.api.field_behavior) = REQUIRED];
  string long = 4 [json_name = "LONG"];
  string dotted = 5 [json_name = "inner.text"];
  Inner inner = 6;
  map<string, Inner> by = 7;
  // <style>*{display:none}</style>
  string markup = 8 [json_name = "</code><script>alert(2)</script>"];
  oneof either { string left = 9; Odd again = 10; }
}
message Inner { string text = 1; }
`

// deepMessages lead to each other in 2^30 ways.
func deepMessages() string {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "message D%d { D%d a = 1; D%d b = 2; }\n", i, i+1, i+1)
	}
	return b.String() + "message D30 { string end = 1; }\n"
}

// tag is an element of a page.
var tag = regexp.MustCompile(`<([a-zA-Z!][a-zA-Z0-9]*)([^>]*)>`)

// TestHostile: Surface 204, 207 and 247: whatever comments, names and types a proto has, the document is JSON, its YAML
// is the same, its operations and parameters are there once, and the page has no markup of theirs; what it shows to
// paste runs nothing.
func TestHostile(t *testing.T) {
	proto := strings.Replace(hostileProto, `"LONG"`, `"`+strings.Repeat("long", 400)+`"`, 1) + deepMessages()
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"hostile.proto": proto},
		Config: "docs: { path: /docs }\nroutes: [{ match: { path: /http }, respond: { status: 204 } }]\n"})
	for _, version := range []string{openapi.Version31, openapi.Version32} {
		d, _, err := g.OpenAPI(openapi.Options{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		var byJSON, byYAML any
		if err := json.Unmarshal(d.JSON(), &byJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(d.YAML(), &byYAML); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(byYAML)
		if err != nil {
			t.Fatal(err)
		}
		var same any
		if err := json.Unmarshal(again, &same); err != nil || !reflect.DeepEqual(byJSON, same) {
			t.Errorf("%s: YAML is another document than JSON: %v", version, err)
		}
		once(t, byJSON)
		seen(t, d.JSON())
		seen(t, d.YAML())
	}
	page := g.Do(t, "GET", "/docs", "").Body
	seen(t, []byte(page))
	for _, found := range tag.FindAllStringSubmatch(page, -1) {
		name, rest := strings.ToLower(found[1]), html.UnescapeString(found[2])
		allowed := " !doctype html meta style title a header p small label input nav section h1 h2 h3 ul li main article span b code em pre details summary div table thead tbody tr th td script wbr "
		if !strings.Contains(allowed, " "+name+" ") || regexp.MustCompile(`(?i)\son[a-z]+\s*=`).MatchString(found[2]) {
			t.Errorf("the page has <%s%s>", name, rest)
		}
	}
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
	for _, command := range regexp.MustCompile(`(?s)<pre tabindex="0">((?:curl|websocat).*?)</pre>`).FindAllStringSubmatch(page, -1) {
		text := html.UnescapeString(command[1])
		quoted, _, _ := strings.Cut(text, "\n")
		if strings.ContainsAny(strings.NewReplacer("$API", "", "$TOKEN", "", "${API/http/ws}", "").Replace(quoted), "$`\\") && !strings.HasSuffix(quoted, `\`) {
			t.Errorf("a shell runs or reads something of %s", quoted)
		}
	}
}

// seen fails the test where a text has a character that hides, or turns what is behind it.
func seen(t *testing.T, text []byte) {
	t.Helper()
	if i := bytes.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
		t.Errorf("there is %q", text[i:min(len(text), i+20)])
	}
}

// once fails the test where an operationId, or a parameter of an operation, is there twice, or a path has
// a variable that is no parameter.
func once(t *testing.T, document any) {
	t.Helper()
	seen := map[string]bool{}
	root, _ := document.(map[string]any)
	paths, _ := root["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, v := range operations {
			operation, _ := v.(map[string]any)
			id, _ := operation["operationId"].(string)
			if id != "" && seen[id] {
				t.Errorf("%s %s: the operationId %s is there twice", method, path, id)
			}
			seen[id] = true
			parameters, _ := operation["parameters"].([]any)
			names, variables := map[string]bool{}, 0
			for _, v := range parameters {
				p, _ := v.(map[string]any)
				key := fmt.Sprint(p["in"], p["name"])
				if names[key] {
					t.Errorf("%s %s: %q is there twice", method, path, key)
				}
				names[key] = true
				if p["in"] == "path" {
					variables++
					if !strings.Contains(path, fmt.Sprintf("{%v}", p["name"])) {
						t.Errorf("%s: it has no %v", path, p["name"])
					}
				}
			}
			if strings.Count(path, "{") != variables || strings.Count(path, "}") != variables {
				t.Errorf("%s %s: %d parameters", method, path, variables)
			}
		}
	}
	tags, _ := root["tags"].([]any)
	parents := map[any]any{}
	for _, v := range tags {
		one, _ := v.(map[string]any)
		parents[one["name"]] = one["parent"]
	}
	for name := range parents {
		n := 0
		for up := parents[name]; up != nil && n <= len(parents); up = parents[up] {
			n++
		}
		if n > len(parents) {
			t.Errorf("the tag %v is below itself", name)
		}
	}
}

// oddOptions is a file of options whose types are not what their names have one think.
const oddOptions = `syntax = "proto3";
package grpc.gateway.protoc_gen_openapiv3.options;
import "google/protobuf/descriptor.proto";
message Odd {
  map<int32, string> extensions = 1; string specification_extension = 2; repeated string additional_properties = 3; int32 response_or_reference = 4;
  repeated Odd info = 5; string components = 6; map<bool, Odd> responses = 7; repeated string parameters = 8; repeated int32 security = 9;
  string request_body = 10; string tags = 11; repeated string schema_or_reference = 12; Odd content = 13; map<string, string> headers = 14; repeated Odd summary = 15;
  string security_definitions = 16; bool servers = 17; string required = 18; int32 operation_id = 19; string example = 20; Odd field_configuration = 21; repeated string type = 22;
}
extend google.protobuf.FileOptions { Odd file = 1295; }
extend google.protobuf.MethodOptions { Odd method = 1295; }
extend google.protobuf.MessageOptions { Odd message = 1295; }
extend google.protobuf.FieldOptions { Odd field = 1295; }
extend google.protobuf.ServiceOptions { Odd service = 1295; }
`

// TestOddOptions: Surface 219: options of other types than their names have one think, and nested without end, change
// nothing that the gateway serves: there is a document.
func TestOddOptions(t *testing.T) {
	odd := `{ extensions: { key: 1 value: "a" } specification_extension: "a" additional_properties: "b" response_or_reference: 3 info: { summary: {} } components: "c"
		responses: { key: true value: { components: "x" } } parameters: "p" security: 4 request_body: "b" tags: "t" schema_or_reference: "s" content: { headers: { key: "a" value: "b" } }
		headers: { key: "h" value: "v" } summary: { summary: {} } security_definitions: "d" servers: true required: "r" operation_id: 7 example: "{" field_configuration: { type: "x" } type: "y" }`
	nested := strings.Repeat("{ summary: ", 90) + "{}" + strings.Repeat(" }", 90)
	source := strings.NewReplacer("ODD", odd, "NESTED", nested).Replace(`syntax = "proto3";
package odd.v1;
import "odd.proto";
option (grpc.gateway.protoc_gen_openapiv3.options.file) = ODD;
service S {
  option (grpc.gateway.protoc_gen_openapiv3.options.service) = ODD;
  rpc A(M) returns (M) { option (grpc.gateway.protoc_gen_openapiv3.options.method) = ODD; }
  rpc B(M) returns (M) { option (grpc.gateway.protoc_gen_openapiv3.options.method) = NESTED; }
}
message M {
  option (grpc.gateway.protoc_gen_openapiv3.options.message) = ODD;
  string a = 1 [(grpc.gateway.protoc_gen_openapiv3.options.field) = ODD];
}
`)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"odd.proto": oddOptions, "s.proto": source}, Config: "docs: { path: /docs }\n"})
	d, remarks, err := g.OpenAPI(openapi.Options{})
	if err != nil || !json.Valid(d.JSON()) || !bytes.Contains(d.JSON(), []byte(`"operationId": "S_A"`)) {
		t.Errorf("%v: %s", err, d.JSON())
	}
	if len(remarks) == 0 {
		t.Error("nothing is said of the options")
	}
	if page := g.Do(t, "GET", "/docs", ""); page.Status != 200 {
		t.Errorf("the page: %d", page.Status)
	}
}
