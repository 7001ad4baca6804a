package envelope

import (
	"net/http"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// refuseGRPC answers with HTTP's 200, but for a request that cannot be gRPC.
func refuseGRPC(x *exchange.Exchange, e *transcoder.Refusal) int {
	return refuseInHeader(x, e, grpcHeader)
}

func refuseInHeader(x *exchange.Exchange, e *transcoder.Refusal, contentType []string) int {
	httpStatus := e.HTTP
	if httpStatus != http.StatusMethodNotAllowed {
		httpStatus = http.StatusOK
	}
	h := x.Header()
	h["Content-Type"] = contentType
	rpcerror.SetStatus(h, e.Status)
	x.WriteHeader(httpStatus)
	return httpStatus
}

func refuseConnectUnary(x *exchange.Exchange, e *transcoder.Refusal) int {
	httpStatus := rpcerror.ErrorStatus(e.HTTP, e.Status.Code())
	x.Header()["Content-Type"] = transcoder.JSONHeader
	x.WriteHeader(httpStatus)
	_, _ = x.Write(newConnectError(e.Errors, e.Status).append(nil)) // an error means that the client is gone
	return httpStatus
}

func refuseConnectStream(x *exchange.Exchange, e *transcoder.Refusal) int {
	if e.HTTP == http.StatusMethodNotAllowed {
		return refuseConnectUnary(x, e)
	}
	contentType := connectProtoHeader
	if subtype(field.First(x.R.Header, "Content-Type"), connectType) == "json" {
		contentType = connectJSONHeader
	}
	x.Header()["Content-Type"] = contentType
	x.WriteHeader(http.StatusOK)
	var out envelopeWriter
	out.begin(x)
	_ = out.raw(flagConnectEnd, newConnectEnd(e.Errors, e.Err, nil).append(nil)) // an error means that the client is gone
	return http.StatusOK
}

func refuseGRPCWeb(x *exchange.Exchange, e *transcoder.Refusal, text bool) int {
	return refuseInHeader(x, e, grpcWebAnswerType(transcoder.ContentType(x.R.Header), text))
}
