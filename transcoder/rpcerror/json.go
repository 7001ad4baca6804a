package rpcerror

import (
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// MaxJSON bounds a status as JSON, in bytes. Its details come in a header and are
// short, but their JSON may be many times as long.
const MaxJSON = 1 << 20

// AppendDetails writes a status as the JSON of google.rpc.Status by its plan; the error
// is that of a detail that has no such form.
func AppendDetails(dst []byte, plan *jsonwire.Plan, message *spb.Status, o jsonwire.Output) ([]byte, error) {
	wire, err := proto.Marshal(message)
	if err != nil {
		return dst, err
	}
	return plan.AppendJSON(dst, wire, o)
}

// AppendJSON writes a status as the JSON of google.rpc.Status. A detail whose
// type is unknown never loses the error (Semantics 26).
func AppendJSON(dst []byte, plan *jsonwire.Plan, st *status.Status) []byte {
	message := st.Proto()
	if message == nil {
		message = &spb.Status{}
	}
	if out, err := AppendDetails(dst, plan, message, jsonwire.Output{LenientAny: true, MaxBytes: MaxJSON}); err == nil {
		return out
	}
	// Too long: the details stay as they came.
	if out, err := AppendDetails(dst, plan, message, jsonwire.Output{LenientAny: true, OpaqueAny: true}); err == nil {
		return out
	}
	// Only text that is no UTF-8 gets here; say what can be said.
	wire, err := proto.Marshal(&spb.Status{Code: message.GetCode(), Message: ValidUTF8(message.GetMessage())})
	if err != nil {
		return append(dst, `{"code":13,"message":"","details":[]}`...)
	}
	out, err := plan.AppendJSON(dst, wire, jsonwire.Output{})
	if err != nil {
		return append(dst, `{"code":13,"message":"","details":[]}`...)
	}
	return out
}

// ValidUTF8 puts U+FFFD in place of what is no UTF-8.
func ValidUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
