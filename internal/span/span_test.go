package span_test

import (
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/span"
)

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", time.Minute: "1m", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", 24 * time.Hour: "24h",
		time.Hour + time.Minute: "1h1m", time.Hour + time.Second: "1h0m1s", -time.Hour: "-1h", 1500 * time.Millisecond: "1.5s", 20 * time.Hour: "20h",
	} {
		if got := span.Text(d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if back, err := time.ParseDuration(span.Text(d)); err != nil || back != d {
			t.Errorf("%q is read as %v, %v", span.Text(d), back, err)
		}
	}
}

func TestPer(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "second", time.Minute: "minute", time.Hour: "hour", 24 * time.Hour: "day", 2 * time.Minute: "2m", 240 * time.Hour: "240h", 0: "0s"} {
		if got := span.Per(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
