package transcoder

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// ClientTimeout returns the time that the client gives the call (Semantics 32),
// false if it says nothing. The error is INVALID_ARGUMENT.
func ClientTimeout(h http.Header) (time.Duration, bool, error) {
	if v := h["Grpc-Timeout"]; len(v) > 0 {
		return grpcTimeout(v[0])
	}
	if v := h["Connect-Timeout-Ms"]; len(v) > 0 {
		return connectTimeout(v[0])
	}
	for _, name := range [...]string{"X-Request-Timeout", "Request-Timeout"} {
		if v := h[name]; len(v) > 0 {
			return secondsTimeout(name, v[0])
		}
	}
	return 0, false, nil
}

// maxTimeout stands for all that is longer, some 146 years: a time so far ahead
// can still be rounded up without overflow.
const maxTimeout time.Duration = math.MaxInt64 / 2

var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second,
	'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// grpcTimeout reads 1 to 8 digits and a unit (gRPC over HTTP/2, Requests).
func grpcTimeout(v string) (time.Duration, bool, error) {
	digits, unit := "", time.Duration(0)
	if v != "" {
		digits, unit = v[:len(v)-1], timeoutUnits[v[len(v)-1]]
	}
	if unit == 0 || len(digits) > 8 || !allDigits(digits) {
		return 0, false, rpcerror.BadRequest(
			"grpc-timeout %q: expected 1 to 8 digits and one of H M S m u n", rpcerror.Clip(v))
	}
	n, _ := strconv.ParseInt(digits, 10, 64) // eight digits always fit
	if n > int64(maxTimeout/unit) {
		return maxTimeout, true, nil
	}
	return time.Duration(n) * unit, true, nil
}

// connectTimeout reads up to 10 digits of milliseconds (Connect protocol).
func connectTimeout(v string) (time.Duration, bool, error) {
	if len(v) > 10 || !allDigits(v) {
		return 0, false, rpcerror.BadRequest(
			"Connect-Timeout-Ms %q: expected at most 10 digits", rpcerror.Clip(v))
	}
	n, _ := strconv.ParseInt(v, 10, 64) // ten digits always fit
	return time.Duration(n) * time.Millisecond, true, nil
}

// secondsTimeout reads seconds, with or without a fraction.
func secondsTimeout(name, v string) (time.Duration, bool, error) {
	seconds, err := strconv.ParseFloat(v, 64)
	if err != nil || len(v) > 20 || !(seconds >= 0) || math.IsInf(seconds, 0) {
		return 0, false, rpcerror.BadRequest(
			"%s %q: expected seconds, for example 2 or 0.5", name, rpcerror.Clip(v))
	}
	if seconds > maxTimeout.Seconds() {
		return maxTimeout, true, nil
	}
	return time.Duration(seconds * float64(time.Second)), true, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
