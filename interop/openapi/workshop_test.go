package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestWorkshop: Surface 204, 210, 212, 220, 222, 223 and 226: of an API with something of everything, each operation of the document can be
// called as the document says, by its examples, once with each parameter; the statuses of the answers are in it, and the answers fit its schemas.
func TestWorkshop(t *testing.T) {
	for _, version := range []string{openapi.Version31, openapi.Version32} {
		t.Run(version, func(t *testing.T) {
			server := &exampleServer{}
			g := gatewaytest.Start(t, gatewaytest.Options{Backend: server.start(t), NoBookstore: true, Protos: protosOf(t, "testdata/workshop"), Config: "defaults: { response_metadata: { http_status: true } }\n"})
			d, problems, err := g.OpenAPI(openapi.Options{Version: version})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("the document is not whole: %v", p)
			}
			root, err := jsonschema.UnmarshalJSON(strings.NewReader(string(d.JSON())))
			if err != nil {
				t.Fatal(err)
			}
			server.know(t, g, root)
			w := &documented{gateway: g, root: root, compiler: jsonschema.NewCompiler()}
			w.compiler.DefaultDraft(jsonschema.Draft2020)
			if err := w.compiler.AddResource("openapi.json", root); err != nil {
				t.Fatal(err)
			}
			paths, _ := at(root, "paths").(map[string]any)
			for _, path := range slices.Sorted(maps.Keys(paths)) {
				for _, method := range []string{"get", "put", "post", "delete", "patch", "head"} {
					if operation, ok := at(paths[path], method).(map[string]any); ok && !strings.HasSuffix(fmt.Sprint(operation["operationId"]), "_WebSocket") {
						w.place = []string{"paths", path, method}
						w.call(t, operation)
					}
				}
			}
			t.Logf("%d calls", w.calls)
			if w.calls < 150 {
				t.Errorf("%d calls, expected 150", w.calls)
			}
		})
	}
}

// documented calls what a document describes.
type documented struct {
	gateway  *gatewaytest.Gateway
	root     any
	compiler *jsonschema.Compiler
	place    []string
	calls    int
}

// call calls an operation: with what is required, then with each other parameter, then without a body where none is required.
func (w *documented) call(t *testing.T, operation map[string]any) {
	t.Helper()
	path, query, oneofs := w.place[1], url.Values{}, oneofsOf(operation)
	var optional []map[string]any
	for _, p := range list(operation["parameters"]) {
		name, value := fmt.Sprint(p["name"]), w.sample(p["schema"], fmt.Sprint(p["name"]))
		switch {
		case p["in"] == "path":
			text := url.PathEscape(fmt.Sprint(value))
			if p["x-multi-segment"] == true {
				text = "a/b%20c/" + text
			}
			path = strings.ReplaceAll(path, "{"+name+"}", text)
		case p["in"] == "query" && (p["required"] == true || w.demands(operation, name)):
			set(query, p, value)
		case p["in"] == "query":
			optional = append(optional, p)
		}
	}
	contentType, body := w.body(t, operation)
	w.send(t, operation, path, query, contentType, body)
	for _, p := range optional {
		with, name := maps.Clone(query), fmt.Sprint(p["name"])
		for _, other := range oneofs[name] {
			with.Del(other)
		}
		for _, beside := range list(operation["parameters"]) { // "Required with any other parameter of `above`."
			_, above, _ := strings.Cut(fmt.Sprint(beside["description"]), "Required with any other parameter of `")
			if above, _, ok := strings.Cut(above, "`"); ok && strings.HasPrefix(name, above+".") {
				set(with, beside, w.sample(beside["schema"], fmt.Sprint(beside["name"])))
			}
		}
		set(with, p, w.sample(p["schema"], fmt.Sprint(p["name"])))
		w.send(t, operation, path, with, contentType, body)
	}
	if requestBody, ok := operation["requestBody"].(map[string]any); ok && requestBody["required"] != true {
		w.send(t, operation, path, query, "", "")
	}
}

// demands reports whether the rules of an operation, which are CEL, ask for a parameter.
func (w *documented) demands(operation map[string]any, name string) bool {
	description := fmt.Sprint(operation["description"])
	if _, one, ok := strings.Cut(description, "one of `"); ok && strings.HasPrefix(one, name+"`") {
		return true
	}
	for _, rule := range list(operation["x-cel"]) {
		if strings.Contains(fmt.Sprint(rule["expression"]), "this."+name) {
			return true
		}
	}
	return false
}

// oneofsOf are the others of the oneof of each parameter.
func oneofsOf(operation map[string]any) map[string][]string {
	of := map[string][]string{}
	all, _ := operation["x-oneof"].(map[string]any)
	for _, members := range all {
		for _, one := range members.([]any) {
			for _, other := range members.([]any) {
				if one != other {
					of[one.(string)] = append(of[one.(string)], other.(string))
				}
			}
		}
	}
	return of
}

// set adds a parameter to a query, as OpenAPI serializes it.
func set(query url.Values, p map[string]any, value any) {
	name := fmt.Sprint(p["name"])
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			query.Add(name, fmt.Sprint(one))
		}
	case map[string]any:
		for key, one := range v {
			query.Add(name+"["+key+"]", fmt.Sprint(one))
		}
	default:
		query.Set(name, fmt.Sprint(v))
	}
}

// send makes one call, and judges what comes.
func (w *documented) send(t *testing.T, operation map[string]any, path string, query url.Values, contentType, body string) {
	t.Helper()
	w.calls++
	target := path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	method := strings.ToUpper(w.place[2])
	accepts := []string{""}
	success, at := w.success(operation)
	for accepted := range success {
		accepts = append(accepts, accepted)
	}
	for _, accept := range slices.Sorted(slices.Values(accepts)) {
		var headers []string
		if contentType != "" {
			headers = append(headers, "Content-Type", contentType)
		}
		if accept != "" {
			headers = append(headers, "Accept", accept)
		}
		got := w.gateway.Do(t, method, target, body, headers...)
		what := fmt.Sprintf("%s %s (Accept: %s) %.200s: %d %.300s", method, target, accept, body, got.Status, got.Body)
		if want := at[len(at)-1]; strconv.Itoa(got.Status) != want {
			t.Errorf("%s; expected the %s of the document", what, want)
			continue
		}
		w.fits(t, what, got.Header, got.Body, method, at)
	}
}

// success is the content of the answer that succeeds, and its place.
func (w *documented) success(operation map[string]any) (map[string]any, []string) {
	responses, _ := operation["responses"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		if status[0] == '2' {
			content, _ := at(responses[status], "content").(map[string]any)
			return content, slices.Concat(w.place, []string{"responses", status})
		}
	}
	return nil, append(slices.Clone(w.place), "responses", "none")
}

// fits reports an answer that is not as its place in the document says.
func (w *documented) fits(t *testing.T, what string, header http.Header, body, method string, place []string) {
	t.Helper()
	if method == "HEAD" {
		return
	}
	content, _ := at(w.root, append(slices.Clone(place), "content")...).(map[string]any)
	got, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	for kind, media := range content {
		if kind != got && kind != "*/*" {
			continue
		}
		keyword := "schema"
		if at(media, "itemSchema") != nil {
			keyword = "itemSchema"
		}
		schema, err := w.compiler.Compile("openapi.json#" + pointer(append(slices.Clone(place), "content", kind, keyword)))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range items(got, kind, keyword, body) {
			if err := schema.Validate(one); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		return
	}
	t.Errorf("%s: the type %q is not in the document", what, got)
}

// items are the values of a body that its schema is of.
func items(got, kind, keyword, body string) (all []any) {
	switch {
	case kind == "*/*":
		return nil
	case got == "application/x-ndjson":
		for line := range strings.Lines(body) {
			all = append(all, parsed(line))
		}
	case got == "text/event-stream" && keyword == "itemSchema":
		for event := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
			one := map[string]any{}
			for line := range strings.Lines(event) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && name != "" {
					one[name] = value
				}
			}
			if len(one) > 0 {
				all = append(all, one)
			}
		}
	case got == "text/event-stream":
		for line := range strings.Lines(body) {
			if data, ok := strings.CutPrefix(line, "data: "); ok && strings.TrimSpace(data) != "{}" {
				all = append(all, parsed(data))
			}
		}
	default:
		all = append(all, parsed(body))
	}
	return all
}

func parsed(text string) any {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return fmt.Sprintf("not JSON: %q", text)
	}
	return v
}

// pointer is a place as a JSON Pointer in a URL.
func pointer(place []string) string {
	var b strings.Builder
	for _, name := range place {
		b.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name)))
	}
	return b.String()
}

func list(v any) (all []map[string]any) {
	values, _ := v.([]any)
	for _, one := range values {
		if m, ok := one.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// body is one for an operation, made of the examples of the document.
func (w *documented) body(t *testing.T, operation map[string]any) (contentType, body string) {
	t.Helper()
	content, _ := at(operation["requestBody"], "content").(map[string]any)
	for _, kind := range []string{"application/json", "*/*"} {
		media, ok := content[kind].(map[string]any)
		if !ok {
			continue
		}
		if kind == "*/*" {
			return "image/png", "\x89PNG"
		}
		text, err := json.Marshal(w.sample(media["schema"], "body"))
		if err != nil {
			t.Fatal(err)
		}
		return kind, string(text)
	}
	return "", ""
}

// sample is a value of a schema: an example of the document, or one that is made of its keywords.
func (w *documented) sample(schema any, name string) any {
	s, _ := schema.(map[string]any)
	if reference, ok := s["$ref"].(string); ok {
		target := at(w.root, strings.Split(strings.TrimPrefix(reference, "#/"), "/")...)
		merged := maps.Clone(target.(map[string]any))
		if not := at(s, "not", "enum"); not != nil {
			merged["enum"] = slices.DeleteFunc(slices.Clone(merged["enum"].([]any)), func(v any) bool { return slices.Contains(not.([]any), v) })
		}
		return w.sample(merged, name)
	}
	if examples, _ := s["examples"].([]any); len(examples) > 0 {
		return sent(examples[0], s)
	}
	if values, _ := s["enum"].([]any); len(values) > 0 {
		return values[0]
	}
	kind := s["type"]
	if kinds, ok := kind.([]any); ok {
		kind = kinds[0]
	}
	switch kind {
	case "boolean":
		return true
	case "integer", "number":
		if name == "end" {
			return 2 // behind begin
		}
		return number(s)
	case "array":
		return []any{w.sample(s["items"], name+"x")}
	case "object":
		return w.members(s, name)
	case "string":
		return text(s)
	}
	return map[string]any{"any": true}
}

// sent is an example without what a client does not send.
func sent(example any, s map[string]any) any {
	members, ok := example.(map[string]any)
	if !ok {
		return example
	}
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(name string, _ any) bool { return at(s, "properties", name, "readOnly") == true })
	return members
}

func (w *documented) members(s map[string]any, name string) any {
	all := map[string]any{}
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, one := range required {
		all[one.(string)] = w.sample(properties[one.(string)], one.(string))
	}
	if values, ok := s["additionalProperties"].(map[string]any); ok {
		key := "m1"
		if pattern, _ := at(s, "propertyNames", "pattern").(string); strings.Contains(pattern, "0-9") {
			key = "1"
		}
		all[key] = w.sample(values, name)
	}
	return all
}

func number(s map[string]any) any {
	value := 1
	if low, ok := s["exclusiveMinimum"].(json.Number); ok {
		n, _ := low.Int64()
		value = int(n) + 1
	}
	if low, ok := s["minimum"].(json.Number); ok {
		n, _ := low.Int64()
		value = int(n)
	}
	return value
}

func text(s map[string]any) string {
	description, _ := s["description"].(string)
	pattern, _ := s["pattern"].(string)
	switch format := s["format"]; {
	case format == "date-time":
		return "2026-11-30T12:00:00Z"
	case format == "email":
		return "ada@example.com"
	case format == "uri":
		return "https://example.com"
	case format == "uuid":
		return "6f1f9c6e-6a3c-4d3a-9a55-0d7b6c1f2e3d"
	case format == "int64" || format == "uint64":
		if strings.Contains(description, "1000") {
			return "1001"
		}
		return "7"
	case strings.HasSuffix(pattern, "s$"):
		return "3s"
	case strings.Contains(pattern, "[a-z]"):
		return "abc"
	case s["contentEncoding"] == "base64":
		return "YWJjZA=="
	case strings.Contains(description, "Paths of fields"):
		return "title,kind"
	}
	return "some text"
}
