package behaviour

import (
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// A URL that cannot be parsed tells no user or password either.
func TestWrongURLTellsNoUser(t *testing.T) {
	t.Parallel()
	s := newScrubber(&transomv1.Behaviour{})
	for found, want := range map[string]string{
		"https://ann:secret@shop.example/%zz?token=t": "https://shop.example/%zz",
		"https://ann:secret@shop.example:port/a#b":    "https://shop.example:port/a",
		"https://ann:se@cret@[bad/":                   "https://[bad/",
		"https://shop.example/%zz?a":                  "https://shop.example/%zz",
	} {
		if got := s.url(found); got != want {
			t.Errorf("%s: found %s, expected %s", found, got, want)
		}
	}
}
