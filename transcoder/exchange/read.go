package exchange

import (
	"errors"
	"io"
	"net/http"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// MaxKept bounds the scratch memory that a pooled call keeps.
const MaxKept = 64 << 10

// Keep empties a buffer, for the next call to use, if it is not too large.
func Keep(b []byte) []byte {
	if cap(b) > MaxKept {
		return nil
	}
	return b[:0]
}

// SmallMessage is the memory for a small message, in bytes.
const SmallMessage = 512

// ErrTooLarge is returned by AppendAll and by the guard of a WebSocket's frames.
var ErrTooLarge = errors.New("too large")

// AppendAll reads r to its end, at most limit bytes. expected is a hint of how
// many there are; it comes from the client and buys no more memory than a
// small buffer.
func AppendAll(dst []byte, r io.Reader, limit, expected int64) ([]byte, error) {
	if expected > int64(cap(dst)) && expected <= min(limit, MaxKept) {
		dst = make([]byte, 0, expected+1)
	}
	for {
		if len(dst) == cap(dst) {
			// Doubled: append would grow it in many more steps, and leave all of them
			// to the collector.
			more := min(int64(max(len(dst), SmallMessage)), limit+1-int64(len(dst)))
			dst = append(make([]byte, 0, int64(len(dst))+more), dst...)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)) > limit {
			return dst, ErrTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// TooLarge is the error of a body that is larger than limit, in bytes.
func TooLarge(limit int64) error {
	return rpcerror.New(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"the body is larger than %d bytes", limit)
}

// BodyError says in gRPC's terms why a body could not be read.
func BodyError(err error, limit int64) error {
	if err == nil {
		return nil
	}
	var own *rpcerror.StatusError
	_, bounded := ServerLimit(err)
	switch {
	case errors.As(err, &own):
		return err
	case errors.Is(err, ErrTooLarge), bounded:
		return TooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the body did not arrive in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return rpcerror.BadRequest("the body ended before it was complete")
	case IsMisframed(err):
		return rpcerror.BadRequest(Misframed)
	}
	return status.Error(codes.Canceled, "the client went away while its body was read")
}
