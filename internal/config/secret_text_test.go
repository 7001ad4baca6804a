package config

import "testing"

// TestSecretText: Semantics 324: a secret from a file may be any bytes; text is trimmed
// of one line end.
func TestSecretText(t *testing.T) {
	for data, want := range map[string]string{
		"text":                 "text",
		"text\n":               "text",
		"text\r\n":             "text",
		"text\n\n":             "text\n",
		" text \t\n":           " text \t",
		"\x00\x01\n":           "\x00\x01\n",
		"\xff\xfe 30 bytes \n": "\xff\xfe 30 bytes \n",
		" \xff ":               " \xff ",
		"":                     "",
	} {
		if got := SecretText([]byte(data)); got != want {
			t.Errorf("%q is %q, want %q", data, got, want)
		}
	}
}
