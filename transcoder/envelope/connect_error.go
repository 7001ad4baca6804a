package envelope

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// connectError is an error as the Connect protocol writes it.
type connectError struct {
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
	Details []connectDetail `json:"details,omitempty"`
}

// connectDetail is a detail of an error: the type's full name, the message in
// base64, and the same for people where its type is known.
type connectDetail struct {
	Type  string          `json:"type"`
	Value string          `json:"value"`
	Debug json.RawMessage `json:"debug,omitempty"`
}

// connectEnd is the last message of a Connect stream.
type connectEnd struct {
	Error    *connectError       `json:"error,omitempty"`
	Metadata map[string][]string `json:"metadata,omitempty"`
}

// connectCode names a code as the Connect protocol does. It has no name for
// codes above 16.
func connectCode(code codes.Code) string {
	name, ok := rpccode.LowerName(code)
	switch {
	case code == codes.Canceled:
		return "canceled" // the one that google/rpc/code.proto spells otherwise
	case code == codes.OK || !ok:
		return "unknown"
	}
	return name
}

// newConnectError makes the Connect form of a status. plan is that of
// google.rpc.Status in the schema that the details' types are looked up in.
func newConnectError(plan *jsonwire.Plan, st *status.Status) *connectError {
	e := &connectError{Code: connectCode(st.Code()), Message: st.Message()}
	details := st.Proto().GetDetails()
	if len(details) == 0 {
		return e
	}
	debug := connectDebug(plan, st, len(details))
	for i, d := range details {
		e.Details = append(e.Details, connectDetail{
			Type:  typeName(d),
			Value: base64.RawStdEncoding.EncodeToString(d.GetValue()),
			Debug: debug[i],
		})
	}
	return e
}

func typeName(d *anypb.Any) string {
	url := d.GetTypeUrl()
	return url[strings.LastIndexByte(url, '/')+1:]
}

// connectDebug returns the details as JSON, nil for each that has none. They
// are taken out of the status's own JSON form.
func connectDebug(plan *jsonwire.Plan, st *status.Status, n int) []json.RawMessage {
	debug := make([]json.RawMessage, n)
	var written struct {
		Details []map[string]json.RawMessage `json:"details"`
	}
	text, err := rpcerror.AppendDetails(nil, plan, st.Proto(), jsonwire.Output{LenientAny: true, MaxBytes: rpcerror.MaxJSON})
	if err != nil || json.Unmarshal(text, &written) != nil || len(written.Details) != n {
		return debug
	}
	for i, detail := range written.Details {
		delete(detail, "@type")
		if text, err := json.Marshal(detail); err == nil {
			debug[i] = text
		}
	}
	return debug
}

// append writes the error as JSON.
func (e *connectError) append(dst []byte) []byte { return appendJSONOf(dst, e) }

// newConnectEnd makes the last message of a stream. A nil err is status OK.
func newConnectEnd(plan *jsonwire.Plan, err error, trailer metadata.MD) *connectEnd {
	end := &connectEnd{}
	if err != nil {
		end.Error = newConnectError(plan, status.Convert(err))
	}
	for name, values := range trailer {
		if transcoder.ReservedMetadata(name) {
			continue
		}
		if end.Metadata == nil {
			end.Metadata = map[string][]string{}
		}
		transcoder.SetValues(end.Metadata, name, name, values)
	}
	return end
}

// append writes the message as JSON.
func (e *connectEnd) append(dst []byte) []byte { return appendJSONOf(dst, e) }

// appendJSONOf writes a value of the types above, which always have a JSON form.
func appendJSONOf(dst []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return append(dst, `{"code":"internal"}`...)
	}
	return append(dst, text...)
}
