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

// Word is what people say for d behind "per", such as "minute"; ok is false where there is no word for it.
func Word(d time.Duration) (word string, ok bool) {
	switch d {
	case time.Second:
		return "second", true
	case time.Minute:
		return "minute", true
	case time.Hour:
		return "hour", true
	case 24 * time.Hour:
		return "day", true
	}
	return "", false
}
