package aside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestWrite: a file is there whole under its name, nothing else is, and another takes its place.
func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made", "for it")
	for _, text := range []string{"first", "second"} {
		if err := Write(folder, "name", []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, "name"))
		if err != nil || string(got) != text {
			t.Errorf("%q %v, want %q", got, err, text)
		}
	}
	if err := Write(folder, filepath.Join("none", "name"), nil); err == nil {
		t.Error("it was written where there is no folder")
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

func TestIsID(t *testing.T) {
	for id, want := range map[string]bool{
		"01a2282b-bbd6-7c45-9ae5-394762db401c": true, "": false, "..": false, "../01a2282b-bbd6-7c45-9ae5-394762db": false,
		"01A2282B-BBD6-7C45-9AE5-394762DB401C": false, "01a2282b-bbd6-7c45-9ae5-394762db401c0": false,
	} {
		if IsID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

func TestReason(t *testing.T) {
	for _, text := range []string{"", "short", "a\xffb", strings.Repeat("ü", 2000)} {
		if got := Reason(text); !utf8.ValidString(got) || len(got) > maxReason || len(text) < maxReason && utf8.ValidString(text) && got != text {
			t.Errorf("%.10q: %.10q of %d bytes", text, got, len(got))
		}
	}
}

// TestBrief: an error that quotes somebody else is as long as it may be, and still the same error.
func TestBrief(t *testing.T) {
	for name, test := range map[string]struct{ said, want string }{
		"short":       {"no", "no"},
		"as long":     {strings.Repeat("x", 20), strings.Repeat("x", 20)},
		"longer":      {strings.Repeat("x", 21), strings.Repeat("x", 17) + "…"},
		"amid a rune": {strings.Repeat("x", 16) + "é and more", strings.Repeat("x", 16) + "…"},
		"no text":     {"a\xff", "a\uFFFD"},
		"bytes alone": {strings.Repeat("\xff", 21), "\uFFFD"},
	} {
		said := errors.New(test.said)
		err := Brief(said, 20)
		if got := err.Error(); got != test.want || !errors.Is(err, said) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
