package transcoder

import (
	"net/http"
)

// refuseGRPC answers with HTTP's 200, but for a request that cannot be gRPC.
func refuseGRPC(x *Exchange, e *Refusal) int { return refuseInHeader(x, e, grpcHeader) }

func refuseInHeader(x *Exchange, e *Refusal, contentType []string) int {
	httpStatus := e.HTTP
	if httpStatus != http.StatusMethodNotAllowed {
		httpStatus = http.StatusOK
	}
	h := x.Header()
	h["Content-Type"] = contentType
	setStatus(h, e.Status)
	x.WriteHeader(httpStatus)
	return httpStatus
}

func refuseConnectUnary(x *Exchange, e *Refusal) int {
	httpStatus := errorStatus(e.HTTP, e.Status.Code())
	x.Header()["Content-Type"] = jsonHeader
	x.WriteHeader(httpStatus)
	_, _ = x.Write(newConnectError(e.Errors, e.Status).append(nil)) // an error means that the client is gone
	return httpStatus
}

func refuseConnectStream(x *Exchange, e *Refusal) int {
	if e.HTTP == http.StatusMethodNotAllowed {
		return refuseConnectUnary(x, e)
	}
	contentType := connectProtoHeader
	if subtype(first(x.R.Header, "Content-Type"), connectType) == "json" {
		contentType = connectJSONHeader
	}
	x.Header()["Content-Type"] = contentType
	x.WriteHeader(http.StatusOK)
	var out envelopeWriter
	out.begin(x)
	_ = out.raw(flagConnectEnd, newConnectEnd(e.Errors, e.Err, nil).append(nil)) // an error means that the client is gone
	return http.StatusOK
}

func refuseGRPCWeb(x *Exchange, e *Refusal, text bool) int {
	return refuseInHeader(x, e, grpcWebAnswerType(contentType(x.R.Header), text))
}
