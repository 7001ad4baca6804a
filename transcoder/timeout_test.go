package transcoder

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestClientTimeout(t *testing.T) {
	const bad = -1
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Grpc-Timeout", "2H", 2 * time.Hour},
		{"Grpc-Timeout", "3M", 3 * time.Minute},
		{"Grpc-Timeout", "00000004S", 4 * time.Second},
		{"Grpc-Timeout", "5m", 5 * time.Millisecond},
		{"Grpc-Timeout", "6u", 6 * time.Microsecond},
		{"Grpc-Timeout", "99999999n", 99999999},
		{"Grpc-Timeout", "0S", 0},
		{"Grpc-Timeout", "99999999H", maxTimeout},
		{"Grpc-Timeout", "", bad},
		{"Grpc-Timeout", "S", bad},
		{"Grpc-Timeout", "1", bad},
		{"Grpc-Timeout", "1s", bad},
		{"Grpc-Timeout", "-1S", bad},
		{"Grpc-Timeout", "1.5S", bad},
		{"Grpc-Timeout", "1 S", bad},
		{"Grpc-Timeout", "123456789S", bad},
		{"Connect-Timeout-Ms", "9999999999", 9999999999 * time.Millisecond},
		{"Connect-Timeout-Ms", "0", 0},
		{"Connect-Timeout-Ms", "", bad},
		{"Connect-Timeout-Ms", "10000000000", bad},
		{"Connect-Timeout-Ms", "-1", bad},
		{"Connect-Timeout-Ms", "1.5", bad},
		{"X-Request-Timeout", "1.5", 1500 * time.Millisecond},
		{"Request-Timeout", "2", 2 * time.Second},
		{"Request-Timeout", "1e300", maxTimeout},
		{"Request-Timeout", "", bad},
		{"Request-Timeout", "NaN", bad},
		{"Request-Timeout", "Inf", bad},
		{"Request-Timeout", "-1", bad},
		{"Request-Timeout", "2s", bad},
	} {
		t.Run("Semantics 32: "+c.name+" "+c.value, func(t *testing.T) {
			got, limited, err := ClientTimeout(http.Header{c.name: {c.value}})
			switch {
			case c.want == bad && status.Code(err) != codes.InvalidArgument:
				t.Errorf("got %s %v, want INVALID_ARGUMENT", got, err)
			case c.want != bad && (err != nil || !limited || got != c.want):
				t.Errorf("got %s %v %v, want %s", got, limited, err, c.want)
			case c.want != bad && got+time.Hour < got:
				t.Errorf("%s cannot be rounded up", got)
			}
		})
	}
	if _, limited, err := ClientTimeout(http.Header{}); limited || err != nil {
		t.Error(limited, err)
	}
}
