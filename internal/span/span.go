// Package span writes times as people do: 24h, and not 24h0m0s.
package span

import (
	"strings"
	"time"
)

// Text is d without the units that have nothing to say.
func Text(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Per is what people say for d behind "per": a word, such as "minute", where there is one.
func Per(d time.Duration) string {
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	return Text(d)
}
