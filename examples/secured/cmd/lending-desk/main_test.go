package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMakeSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets", "jwt")
	var out bytes.Buffer
	if err := makeSecret(path, &out); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(first)))
	if err != nil || len(secret) != secretBytes {
		t.Errorf("%d bytes, %v", len(secret), err)
	}
	if strings.Contains(out.String(), strings.TrimSpace(string(first))) {
		t.Error("the secret is shown")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := makeSecret(path, &out); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the second start made another secret: %v", err)
	}
	if err := makeSecret(filepath.Join(path, "below-a-file"), &out); err == nil {
		t.Error("no error where the folder cannot be made")
	}
}

func TestSecretPath(t *testing.T) {
	for env, want := range map[string]string{"": "x/secrets/jwt", "mine": "x/mine", "/run/jwt": "/run/jwt"} {
		t.Setenv(secretFile, env)
		if got := secretPath("x/transom.yaml"); got != want {
			t.Errorf("%q gives %s, want %s", env, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Setenv(secretFile, filepath.Join(t.TempDir(), "jwt"))
	for want, o := range map[string]options{
		"cannot listen at nowhere": {addr: "nowhere"},
		"the gateway ended: ":      {addr: "127.0.0.1:0", gateway: filepath.Join(t.TempDir(), "none")},
		"the gateway ended: exit":  {addr: "127.0.0.1:0", gateway: "false"},
	} {
		if err := run(t.Context(), o, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestEnds ends the desk, with and without a gateway, as a signal does.
func TestEnds(t *testing.T) {
	t.Setenv(secretFile, filepath.Join(t.TempDir(), "jwt"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, gateway := range []string{"", "sleep"} {
		if err := run(ctx, options{addr: "127.0.0.1:0", gateway: gateway}, &bytes.Buffer{}); err != nil && !strings.Contains(err.Error(), "canceled") {
			t.Errorf("with %q: %v", gateway, err)
		}
	}
}
