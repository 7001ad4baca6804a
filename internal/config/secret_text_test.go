package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// TestSecretOfAnyBytes: Semantics 324: what is no UTF-8 fits no field of the message,
// which refers to the file instead.
func TestSecretOfAnyBytes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bytes":        "\xff\xfe" + strings.Repeat("\xa7", 30),
		"transom.yaml": "schemas: [{ directory: . }]\nupstreams: { a: { grpc: { target: \"a:1\" } } }\nauth: { jwt: [{ issuer: i, secret: \"file:bytes\" }] }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, problems, _ := load(t, filepath.Join(dir, "transom.yaml"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := file.Config.GetAuth().GetJwt()[0].GetSecret(), "file:"+filepath.Join(dir, "bytes"); got != want {
		t.Errorf("the secret is %q, want %q", got, want)
	}
}
