package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/transom-gateway/transom/examples/internal/process"
	"github.com/transom-gateway/transom/examples/secured"
)

const (
	// secretFile is the variable of transom.yaml that names the secret's file, and
	// defaultSecret what stands there without it.
	secretFile    = "DESK_SECRET_FILE"
	defaultSecret = "secrets/jwt"
	secretBytes   = 48
)

// gateway runs transom in front of the desk until it ends or ctx is done.
func gateway(ctx context.Context, o options, desk string, out io.Writer) error {
	if err := makeSecret(secretPath(o.config), out); err != nil {
		return err
	}
	say(out, "In another terminal, once the gateway listens:\n\n")
	for _, line := range secured.Tour("http://localhost:8080") {
		say(out, "  %s\n", line)
	}
	say(out, "\nThe whole story is in %s.\n\n", filepath.Join(filepath.Dir(o.config), "README.md"))
	return process.Gateway{
		Binary: o.gateway, Args: append([]string{"--config", o.config}, o.args...), Out: out,
		Environment: []string{"DESK=" + desk},
	}.Run(ctx)
}

// secretPath is where the configuration reads the secret: a name is relative to
// the configuration.
func secretPath(config string) string {
	path := strings.TrimSpace(cmp.Or(os.Getenv(secretFile), defaultSecret))
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(config), path)
}

// makeSecret writes random bytes that only we can read, unless the file is
// there.
func makeSecret(path string, out io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: it crashes the process instead
	_, err = fmt.Fprintln(file, base64.StdEncoding.EncodeToString(secret))
	if err = errors.Join(err, file.Close()); err == nil {
		say(out, "Made the secret for tokens: %s\n", path)
	}
	return err
}
