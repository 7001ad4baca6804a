package attempt_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/proxy/attempt"
)

// TestPauses: Traffic 69 to 71: pauses double, up to the longest, give or take a fifth;
// what the backend asks for is obeyed.
func TestPauses(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "x")
	info := func(d *durationpb.Duration) error {
		s, err := status.New(codes.Unavailable, "x").WithDetails(&errdetails.ErrorInfo{}, &errdetails.RetryInfo{RetryDelay: d})
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	const ms = time.Millisecond
	for _, test := range []struct {
		name         string
		initial, max time.Duration
		err          error
		trailer      metadata.MD
		want         []time.Duration // in the middle; -1: no attempt
		exact        bool
	}{
		{"doubled", 25 * ms, 250 * ms, unavailable, nil, []time.Duration{25 * ms, 50 * ms, 100 * ms, 200 * ms, 250 * ms, 250 * ms}, false},
		{"first above the longest", 400 * ms, 250 * ms, unavailable, nil, []time.Duration{250 * ms, 250 * ms}, false},
		{"beyond all bounds", math.MaxInt64 / 4, math.MaxInt64 / 4, unavailable, nil, []time.Duration{math.MaxInt64 / 4, math.MaxInt64 / 4, math.MaxInt64 / 4}, false},
		{"pushback", 25 * ms, 250 * ms, unavailable, metadata.Pairs("grpc-retry-pushback-ms", "70"), []time.Duration{70 * ms, 70 * ms}, true},
		{"pushback of an hour", 25 * ms, 250 * ms, unavailable, metadata.Pairs("grpc-retry-pushback-ms", "3600000"), []time.Duration{-1}, true},
		{"negative pushback", 25 * ms, 250 * ms, unavailable, metadata.Pairs("grpc-retry-pushback-ms", "-1"), []time.Duration{-1}, true},
		{"RetryInfo", 25 * ms, 250 * ms, info(durationpb.New(time.Second)), nil, []time.Duration{time.Second, time.Second}, true},
		{"RetryInfo below the pause", 25 * ms, 250 * ms, info(durationpb.New(ms)), nil, []time.Duration{25 * ms, 50 * ms}, false},
		{"RetryInfo of a day", 25 * ms, 250 * ms, info(durationpb.New(24 * time.Hour)), nil, []time.Duration{-1}, true},
		{"RetryInfo that is no time", 25 * ms, 250 * ms, info(&durationpb.Duration{Seconds: 1, Nanos: -1}), nil, []time.Duration{25 * ms}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &attempt.Retry{InitialBackoff: test.initial, MaxBackoff: test.max}
			for range 50 {
				for i, got := range attempt.Pauses(r, len(test.want), test.err, test.trailer) {
					want := float64(test.want[i])
					if test.exact && got != test.want[i] || !test.exact && (float64(got) < want*0.79 || float64(got) > want*1.21) {
						t.Fatalf("pause %d is %s, want about %s", i+1, got, test.want[i])
					}
				}
			}
		})
	}
}

// TestRetryAfter: Traffic 72: what a client is told of when to come again.
func TestRetryAfter(t *testing.T) {
	hint, err := status.New(codes.ResourceExhausted, "x").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(90 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		err     error
		trailer metadata.MD
		want    time.Duration
	}{
		{status.Error(codes.Unavailable, "x"), metadata.Pairs("grpc-retry-pushback-ms", "2500"), 2500 * time.Millisecond},
		{hint.Err(), nil, 90 * time.Second},
		{status.Error(codes.Internal, "x"), metadata.Pairs("grpc-retry-pushback-ms", "2500"), 0},
		{status.Error(codes.Unavailable, "x"), metadata.Pairs("grpc-retry-pushback-ms", "-1"), 0},
		{status.Error(codes.Unavailable, "x"), nil, 0},
		{nil, nil, 0},
	} {
		if got := attempt.RetryAfter(test.err, test.trailer); got != test.want {
			t.Errorf("%v, %v: %s, want %s", test.err, test.trailer, got, test.want)
		}
	}
}
