package openapi

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestAnswers: Surface 213, 214, 215 and 216: what the gateway answers fits the schema of its
// document, in each form of JSON.
func TestAnswers(t *testing.T) {
	for name, config := range map[string]string{
		"as it is":     "",
		"proto names":  "defaults: { json: { proto_names: true, enums_as_numbers: true, int64_as_numbers: true } }\n",
		"no defaults":  "defaults: { json: { omit_defaults: true } }\n",
		"nulls":        "defaults: { json: { unset_messages_as_null: true } }\n",
		"grpc-gateway": "compatibility: GRPC_GATEWAY\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Config: config})
			schemas := compile(t, g)
			for _, test := range []struct{ method, path, body, schema string }{
				{"GET", "/v1/shelves", "", "bookstore.v1.ListShelvesResponse"},
				{"GET", "/v1/shelves/1", "", "bookstore.v1.Shelf"},
				{"GET", "/v1/shelves/1/books", "", "bookstore.v1.ListBooksResponse"},
				{"GET", "/v1/shelves/1/books/1", "", "bookstore.v1.Book"},
				{"GET", "/v1/shelves/1/books/99999", "", "google.rpc.Status"},
				{"GET", "/v1/books:search?query=sea", "", "bookstore.v1.SearchBooksResponse"},
				{"POST", "/v1/echo", `{}`, "bookstore.v1.Specimen"},
				{"POST", "/v1/echo", `{"int64Value":"-7","uint64Value":"7","bytesValue":"AAE=","timestampValue":"2026-11-29T12:00:00.5Z","durationValue":"-1.5s","stringWrapper":"a","structValue":{"a":[1,null]},"anyValue":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"},"genre":"NOVEL"}`, ""},
				{"POST", "/bookstore.v1.BookstoreService/GetStatistics", `{`, "ConnectError"},
				{"POST", "/v1/shelves/3/books", `{"title":"A book","pages":7}`, "bookstore.v1.Book"},
			} {
				if test.schema == "ConnectError" && name == "grpc-gateway" {
					continue // there are rules alone, and the document has no other path
				}
				got := g.Do(t, test.method, test.path, test.body, "Content-Type", "application/json")
				parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(got.Body))
				if err != nil {
					t.Fatalf("%s: %v in %s", test.path, err, got.Body)
				}
				of := test.schema
				switch {
				case of == "ConnectError":
					of = "responses/ConnectError/content/application~1json/schema"
				case got.Status >= 400:
					of = "google.rpc.Status"
				case of == "":
					of = "bookstore.v1.Specimen"
				}
				if got.Status >= 400 && test.schema != "google.rpc.Status" && test.schema != "ConnectError" && test.schema != "" {
					t.Errorf("%s: %d %s", test.path, got.Status, got.Body)
				}
				if name == "grpc-gateway" { // by its own names
					of = strings.NewReplacer("bookstore.v1.", "v1", "google.rpc.", "rpc").Replace(of)
				}
				if err := schemas(t, strings.Replace("schemas/"+of, "schemas/responses/", "responses/", 1)).Validate(parsed); err != nil {
					t.Errorf("%s: %v\n%s", test.path, err, got.Body)
				}
			}
		})
	}
}
