package gateway_test

import (
	"net/http"
	"net/url"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const whenProto = `syntax = "proto3";
package when.v1;
import "google/api/annotations.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";

service Whens {
  rpc Echo(When) returns (When) {
    option (google.api.http) = { post: "/v1/when" body: "*" additional_bindings: { get: "/v1/when" } };
  }
  rpc Odd(When) returns (When) { option (google.api.http) = { get: "/v1/odd" }; }
}
message When {
  google.protobuf.Timestamp at = 1;
  google.protobuf.FieldMask mask = 2;
  google.protobuf.Duration lasts = 3;
}
`

// TestMasksAndTimes sends field masks, timestamps and durations by query, form and
// body, and has them answered.
func TestMasksAndTimes(t *testing.T) {
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		m := &emptypb.Empty{}
		if err := stream.RecvMsg(m); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(stream); method == "/when.v1.Whens/Odd" {
			m.ProtoReflect().SetUnknown([]byte("\x12\x14\x0a\x06fooBar\x0a\x03b__\x0a\x05c.`d`"))
		}
		return stream.SendMsg(m)
	})
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: backend, NoBookstore: true,
		Protos: map[string]string{"when/v1/when.proto": whenProto}})
	for _, c := range []struct{ name, field, value, want string }{
		{"Semantics 314: all fields", "mask", "*", `{"mask": "*"}`},
		{"Semantics 314: all elements", "mask", "books.*.title", `{"mask": "books.*.title"}`},
		{"Semantics 315: a timestamp", "at", "2020-02-29T12:34:56.5+23:59", `{"at": "2020-02-28T12:35:56.500Z"}`},
		{"Semantics 315: a comma", "at", "2020-02-29T12:34:56,5Z", ""},
		{"Semantics 315: one digit", "at", "2020-02-29T1:34:56Z", ""},
		{"Semantics 315: too large an offset", "at", "2020-02-29T12:34:56+24:00", ""},
		{"Semantics 315: a leap second", "at", "2016-12-31T23:59:60Z", ""},
		{"Semantics 315: small letters", "at", "2020-02-29t12:34:56z", ""},
		{"Semantics 315: a duration", "lasts", "-0.5s", `{"lasts": "-0.500s"}`},
		{"Semantics 315: a duration with a plus", "lasts", "+1s", ""},
		{"Semantics 315: a duration without seconds", "lasts", ".s", ""},
	} {
		pair := url.Values{c.field: {c.value}}.Encode()
		for way, a := range map[string]gatewaytest.Answer{
			"query":   g.Do(t, "GET", "/v1/when?"+pair, ""),
			"form":    g.Do(t, "POST", "/v1/when", pair, "Content-Type", "application/x-www-form-urlencoded"),
			"body":    g.Do(t, "POST", "/v1/when", `{"`+c.field+`":"`+c.value+`"}`),
			"Connect": g.Do(t, "POST", "/when.v1.Whens/Echo", `{"`+c.field+`":"`+c.value+`"}`),
		} {
			t.Run(c.name+", "+way, func(t *testing.T) {
				if c.want == "" {
					if a.Status != http.StatusBadRequest {
						t.Errorf("%d %s", a.Status, a.Body)
					}
				} else if err := contains(a.Body, c.want); a.Status != 200 || err != nil {
					t.Errorf("%d %s: %v", a.Status, a.Body, err)
				}
			})
		}
	}
	t.Run("Semantics 314: paths without a JSON form", func(t *testing.T) {
		if a := g.Do(t, "GET", "/v1/odd", ""); a.Status != 200 || contains(a.Body, "{\"mask\": \"fooBar,b__,c.`d`\"}") != nil {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}
