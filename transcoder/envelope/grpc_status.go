package envelope

import (
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

const (
	statusTrailer  = exchange.TrailerPrefix + rpcerror.StatusHeader
	messageTrailer = exchange.TrailerPrefix + rpcerror.MessageHeader
	detailsTrailer = exchange.TrailerPrefix + rpcerror.DetailsHeader
)

// setStatusTrailer writes a status into the trailer.
func setStatusTrailer(h http.Header, st *status.Status) {
	h[statusTrailer] = rpcerror.StatusValue(st.Code())
	if message := st.Message(); message != "" {
		h[messageTrailer] = []string{rpcerror.EncodeMessage(message)}
	}
	if details := rpcerror.StatusDetails(st); details != "" {
		h[detailsTrailer] = []string{details}
	}
}
