package schema

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestPositionInLists finds what stands within the lists of rules and policies, be
// they written as fields of one name, as arrays or mixed.
func TestPositionInLists(t *testing.T) {
	const text = `syntax = "proto3";
package p;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
message M { string name = 1; }
service S {
  option (transom.v1.service) = { rate_limit { requests: 11 } };
  rpc Get(M) returns (M) {
    option (google.api.http) = {
      get: "/a"
      additional_bindings: [{ get: "/b" }, { custom: { kind: "K" path: "/c" } }]
      additional_bindings { get: "/d" }
    };
    option (transom.v1.method) = {
      rate_limit { requests: 21 }
      rate_limit: [
        { requests: 22 per { seconds: 2 } },
        {},
        { per: { seconds: 3 } }
      ]
      rate_limit: { requests: 24, per: { seconds: 4 } }
      cors: { allowed_origins: ["a", "b"] allowed_origins: "c" }
      headers: { request: { remove: "r" set: { key: "k" value: "v" } } }
    };
  }
  rpc List(M) returns (M) {
    option (transom.v1.method).rate_limit = { requests: 31 };
    option (transom.v1.method).rate_limit = {
      requests: 32
    };
  }
}
`
	s := loadGood(t, write(t, map[string]string{"p.proto": text})).Services()[0]
	get, list := s.Methods().ByName("Get"), s.Methods().ByName("List")
	const limit, requests, per, bindings, custom = 4, 1, 2, 11, 8
	for title, test := range map[string]struct {
		d      protoreflect.Descriptor
		option []int32
		want   string // the text at the position
	}{
		"of a service":                    {s, []int32{PolicyOption, limit, 0, requests}, "requests: 11"},
		"the first part":                  {get, []int32{PolicyOption, limit, 0, requests}, "requests: 21"},
		"in an array":                     {get, []int32{PolicyOption, limit, 1, requests}, "requests: 22"},
		"deep in an array":                {get, []int32{PolicyOption, limit, 1, per, 1}, "seconds: 2"},
		"an empty element":                {get, []int32{PolicyOption, limit, 2}, "{},"},
		"what an element has not":         {get, []int32{PolicyOption, limit, 2, requests}, "{},"},
		"a message of an element":         {get, []int32{PolicyOption, limit, 3, per}, "per: { seconds: 3"},
		"what a message has not":          {get, []int32{PolicyOption, limit, 3, per, 2}, "per: { seconds: 3"},
		"behind an array":                 {get, []int32{PolicyOption, limit, 4, requests}, "requests: 24"},
		"deep behind an array":            {get, []int32{PolicyOption, limit, 4, per, 1}, "seconds: 4"},
		"a text in an array":              {get, []int32{PolicyOption, 13, 1, 1}, `"b"]`},
		"a text behind an array":          {get, []int32{PolicyOption, 13, 1, 2}, `allowed_origins: "c"`},
		"a map":                           {get, []int32{PolicyOption, 14, 1, 2}, `set: { key`},
		"a binding in an array":           {get, []int32{HTTPOption, bindings, 0}, `{ get: "/b"`},
		"the path of one":                 {get, []int32{HTTPOption, bindings, 0, 2}, `get: "/b"`},
		"a custom one":                    {get, []int32{HTTPOption, bindings, 1, custom}, `custom: { kind`},
		"the path of a custom one":        {get, []int32{HTTPOption, bindings, 1, custom, 2}, `path: "/c"`},
		"the path of one behind an array": {get, []int32{HTTPOption, bindings, 2, 2}, `get: "/d"`},
		"of two options: the first":       {list, []int32{PolicyOption, limit, 0, requests}, "requests: 31"},
		"of two options: the second":      {list, []int32{PolicyOption, limit, 1, requests}, "requests: 32"},
	} {
		t.Run(title, func(t *testing.T) {
			line, column := position(test.d, test.option)
			if got := from(text, line, column); !strings.HasPrefix(got, test.want) {
				t.Errorf("%d:%d is at %.40q, want %q", line, column, got, test.want)
			}
		})
	}
}
