package transport

import (
	"context"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// verdict is the status at the end of a call, nil for OK.
func (f *fields) verdict() error {
	code, err := strconv.ParseUint(f.grpcStatus, 10, 31)
	switch {
	case f.grpcStatus == "":
		return status.Error(codes.Unknown, "the backend ended the call without a status")
	case err != nil:
		return status.Errorf(codes.Unknown, "the backend ended the call with the status %.40q, want a number", f.grpcStatus)
	case f.details != "":
		if raw, err := decodeBinary(f.details); err == nil {
			var detailed spb.Status
			if proto.Unmarshal([]byte(raw), &detailed) == nil && detailed.GetCode() == int32(code) && code != 0 {
				return &ToldError{status.FromProto(&detailed)}
			}
		}
	}
	if code == 0 {
		return nil
	}
	return &ToldError{status.New(codes.Code(code), decodeMessage(f.message))}
}

// foreign is the status for an answer that is not gRPC's, by its HTTP status. A proxy that
// lost the server gives one to a call whose time is over, too.
func (s *Stream) foreign(f *fields) error {
	if s.late() {
		return status.FromContextError(context.DeadlineExceeded).Err()
	}
	httpStatus, err := strconv.Atoi(f.status)
	if err != nil {
		httpStatus = 0
	}
	return status.Error(rpccode.OfHTTP(httpStatus), "the backend does not speak gRPC here")
}

// decodeMessage undoes the percent-encoding of grpc-message. What is no encoding
// stays as it is.
func decodeMessage(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// late reports whether the call's time is over.
func (s *Stream) late() bool {
	deadline, ok := s.ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// resetError is the status of a call whose stream the server has reset (gRPC
// over HTTP/2, "Errors").
func (s *Stream) resetError(code http2.ErrCode) error {
	reason := "the backend reset the call (" + code.String() + ")"
	switch code {
	case http2.ErrCodeRefusedStream:
		return s.unseen(reason)
	case http2.ErrCodeNo:
		if s.conn.isLeft() {
			return status.Error(codes.Unavailable, reason) // by a server that ends (Traffic 171)
		}
		return status.Error(codes.Internal, reason)
	case http2.ErrCodeCancel:
		if s.late() { // the server's clock rang before ours
			return status.FromContextError(context.DeadlineExceeded).Err()
		}
		return &statusOf{status.Error(codes.Canceled, reason), ErrReset}
	case http2.ErrCodeEnhanceYourCalm:
		return &statusOf{status.Error(codes.ResourceExhausted, reason), ErrReset}
	case http2.ErrCodeInadequateSecurity:
		return &statusOf{status.Error(codes.PermissionDenied, reason), ErrReset}
	case http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeFlowControl,
		http2.ErrCodeSettingsTimeout, http2.ErrCodeFrameSize, http2.ErrCodeCompression, http2.ErrCodeConnect:
		return &statusOf{status.Error(codes.Internal, reason), ErrReset}
	}
	return &statusOf{status.Error(codes.Unknown, reason), ErrReset}
}
