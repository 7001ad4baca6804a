package transcoder

import (
	"net/http"

	"google.golang.org/grpc/status"
)

const (
	statusTrailer  = TrailerPrefix + statusHeader
	messageTrailer = TrailerPrefix + messageHeader
	detailsTrailer = TrailerPrefix + detailsHeader
)

// setStatusTrailer writes a status into the trailer.
func setStatusTrailer(h http.Header, st *status.Status) {
	h[statusTrailer] = statusValue(st.Code())
	if message := st.Message(); message != "" {
		h[messageTrailer] = []string{encodeMessage(message)}
	}
	if details := statusDetails(st); details != "" {
		h[detailsTrailer] = []string{details}
	}
}
