package proxy

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTooLarge(t *testing.T) {
	const limit = 2000
	for message, want := range map[string]bool{
		"grpc: received message larger than max (2100 vs. 2000)":            true,
		"grpc: message after decompression larger than max (2100 vs. 2000)": true,
		"grpc: received message after decompression larger than max 2000":   true,
		"grpc: received message larger than max (2100 vs. 4194304)":         false, // the backend's own limit
		"grpc: received message larger than max ":                           false,
		"larger than max (2100 vs. 2000)":                                   false,
		"":                                                                  false,
	} {
		if got := tooLarge(status.New(codes.ResourceExhausted, message), limit); got != want {
			t.Errorf("%q: %v", message, got)
		}
	}
	if tooLarge(status.New(codes.Internal, "grpc: received message larger than max (2100 vs. 2000)"), limit) {
		t.Error("of any code")
	}
}
