package transcoder_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/protocols"
)

// tooEarly is an error with a status of its own.
type tooEarly struct{}

func (tooEarly) Error() string              { return "too early" }
func (tooEarly) HTTPStatus() int            { return http.StatusTooEarly }
func (tooEarly) GRPCStatus() *status.Status { return status.New(codes.Unavailable, "too early") }

// TestErrorWithItsOwnStatus: Traffic 189: 425 is the answer where HTTP says what is wrong; where the protocol does, it
// says UNAVAILABLE.
func TestErrorWithItsOwnStatus(t *testing.T) {
	w := transcoder.NewErrorWriter(jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes}))
	for _, c := range []struct {
		kind       string
		want       int
		grpcStatus string
	}{
		{"application/json", http.StatusTooEarly, ""},
		{"application/grpc", http.StatusOK, "14"},
		{"application/grpc-web+proto", http.StatusOK, "14"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/bookstore.v1.BookstoreService/CreateShelf", http.NoBody)
		r.Header.Set("Content-Type", c.kind)
		answer := httptest.NewRecorder()
		if got := w.Write(answer, r, protocols.Table.OfHeader(r.Header), tooEarly{}); got != c.want || answer.Code != c.want {
			t.Errorf("%s: %d, and the answer %d, want %d", c.kind, got, answer.Code, c.want)
		}
		if got := answer.Header().Get("Grpc-Status"); got != c.grpcStatus {
			t.Errorf("%s: Grpc-Status %q, want %q", c.kind, got, c.grpcStatus)
		}
	}
}
