package behaviour

import (
	"strings"
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

// TestUsersWithoutServer: Events 199: a user and a password are taken out of what a browser would take for
// a URL, or a person for one without "//", too.
func TestUsersWithoutServer(t *testing.T) {
	t.Parallel()
	s := newScrubber(&transomv1.Behaviour{})
	for found, want := range map[string]string{
		"ann:secret@shop.example/teas?utm_source=x": "shop.example/teas",
		"ann@shop.example/teas":                     "shop.example/teas",
		"ann:sec/ret@shop.example":                  "shop.example",
		"https:ann:secret@shop.example":             "https:shop.example",
		"https:/ann:secret@shop.example/a":          "https:shop.example/a",
		"https:///ann:secret@shop.example/a":        "https://shop.example/a",
		"https:\\\\ann:secret@shop.example/a":       "https:shop.example/a",
		"//ann:secret@shop.example/a":               "//shop.example/a",
		"blob:https://ann:secret@shop.example/1":    "blob:https://shop.example/1",
		"mailto:ann@shop.example":                   "shop.example",
		"/@ann/posts":                               "/@ann/posts",
		"https://shop.example/@ann/posts":           "https://shop.example/@ann/posts",
		"about:blank":                               "about:blank",
		"teas/@ann":                                 "teas/@ann",
	} {
		if got := s.url(found); got != want {
			t.Errorf("%s: found %s, expected %s", found, got, want)
		}
	}
	for found, want := range map[string]string{
		"see redis://:secret@cache:6379/0 and ws://a:b@c/d?e@f": "see redis://cache:6379/0 and ws://c/d?e@f",
		"https:ann:secret@shop.example":                         "https:shop.example",
		"at 12:30, ann@home":                                    "at 12:30, ann@home",
		"a://b@c@d":                                             "a://d",
	} {
		if got := s.text(found); got != want {
			t.Errorf("%s: found %s, expected %s", found, got, want)
		}
	}
}

// Masking looks at each byte a bounded number of times, whatever a text is made of.
func TestMaskingIsLinear(t *testing.T) {
	t.Parallel()
	const size = 32 << 10
	for _, part := range []string{"%@", "@", "%40", "%4", "a@", "a@b.", "a@b.c", ".", "%", "a.b@", "@%40", "%@a.", "\u00e9@", "a%40b"} {
		m := masker{text: strings.Repeat(part, size/len(part))}
		m.mask()
		if m.looked > 4*size {
			t.Errorf("%q, again and again: looked at %d bytes of %d", part, m.looked, size)
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, text := range []string{"%@%@%@", "ann@mail.example", "x%40y.org", "a@b.de@c.de", "\xff@\xff.\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := masker{text: text}
		masked := m.mask()
		if m.looked > 4*len(text) {
			t.Errorf("looked at %d bytes of %d", m.looked, len(text))
		}
		if again := maskMails(strings.ReplaceAll(masked, mask, " ")); strings.Contains(again, mask) {
			t.Errorf("of %q there is left %q, which has an address", text, masked)
		}
	})
}
