package transcoder

import (
	"net/http"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
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

// Refusal is why a request is not served.
type Refusal struct {
	// Err is the error as it came, Status the same in gRPC's terms.
	Err    error
	Status *status.Status
	// HTTP is the HTTP status of an answer that says by it what is wrong.
	HTTP int
	// Errors is the plan of google.rpc.Status.
	Errors *jsonwire.Plan
}

// Write answers the request with the error, a gRPC status error, and returns
// the HTTP status it used. A method HTTPStatus() int of the error takes the
// place of the table, as in proxy.Downstream.
func (e *ErrorWriter) Write(w http.ResponseWriter, r *http.Request, p *Protocol, err error) (httpStatus int) {
	st, httpStatus := rpcerror.Of(err, nil)
	refusal := Refusal{Err: err, Status: st, HTTP: httpStatus, Errors: e.errors}
	x := exchange.Exchange{W: exchange.FrontOf(w), R: r}
	if p.Refuse != nil {
		return p.Refuse(&x, &refusal)
	}
	return refuseAsJSON(&x, &refusal)
}

// refuseAsJSON answers with a google.rpc.Status.
func refuseAsJSON(x *exchange.Exchange, e *Refusal) int {
	httpStatus := rpcerror.ErrorStatus(e.HTTP, e.Status.Code())
	x.Header()["Content-Type"] = JSONHeader
	x.WriteHeader(httpStatus)
	if x.R.Method != http.MethodHead {
		_, _ = x.Write(rpcerror.AppendJSON(nil, e.Errors, e.Status)) // an error means that the client is gone
	}
	return httpStatus
}
