package transcoder

import (
	"net/http"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// ErrorWriter answers requests that no binding takes, in the form of their
// protocol (Semantics 26). It is safe for concurrent use.
type ErrorWriter struct {
	errors *jsonwire.Plan
}

// NewErrorWriter makes an ErrorWriter; details of errors are looked up in the
// schema of the plans.
func NewErrorWriter(plans *jsonwire.Plans) *ErrorWriter {
	return &ErrorWriter{errors: plans.Message((&spb.Status{}).ProtoReflect().Descriptor())}
}

// Write answers the request with the error, a gRPC status error, and returns
// the HTTP status it used. A method HTTPStatus() int of the error takes the
// place of the table, as in proxy.Downstream.
func (e *ErrorWriter) Write(w http.ResponseWriter, r *http.Request, p Protocol, err error) (httpStatus int) {
	st, httpStatus := statusOf(err, nil)
	h := w.Header()
	switch p {
	case GRPC:
		return e.writeGRPC(w, grpcHeader, st, httpStatus)
	case GRPCWeb, GRPCWebText:
		return e.writeGRPC(w, grpcWebAnswerType(contentType(r.Header), p == GRPCWebText), st, httpStatus)
	case ConnectStream:
		if httpStatus != http.StatusMethodNotAllowed {
			return e.writeConnectStream(w, r, err)
		}
		fallthrough
	case ConnectUnary, ConnectGet:
		httpStatus = errorStatus(httpStatus, st.Code())
		h["Content-Type"] = jsonHeader
		w.WriteHeader(httpStatus)
		_, _ = w.Write(newConnectError(e.errors, st).append(nil)) // an error means that the client is gone
	case REST, WebSocket:
		httpStatus = errorStatus(httpStatus, st.Code())
		h["Content-Type"] = jsonHeader
		w.WriteHeader(httpStatus)
		if r.Method != http.MethodHead {
			_, _ = w.Write(appendStatus(nil, e.errors, st)) // as above
		}
	}
	return httpStatus
}

// writeGRPC answers with HTTP's 200, but for a request that cannot be gRPC.
func (e *ErrorWriter) writeGRPC(w http.ResponseWriter, contentType []string, st *status.Status, httpStatus int) int {
	if httpStatus != http.StatusMethodNotAllowed {
		httpStatus = http.StatusOK
	}
	h := w.Header()
	h["Content-Type"] = contentType
	setStatus(h, st)
	w.WriteHeader(httpStatus)
	return httpStatus
}

func (e *ErrorWriter) writeConnectStream(w http.ResponseWriter, r *http.Request, err error) int {
	contentType := connectProtoHeader
	if subtype(first(r.Header, "Content-Type"), connectType) == "json" {
		contentType = connectJSONHeader
	}
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(http.StatusOK)
	var out envelopeWriter
	out.begin(w)
	_ = out.raw(flagConnectEnd, newConnectEnd(e.errors, err, nil).append(nil)) // an error means that the client is gone
	return http.StatusOK
}
