// Package aside has what events that are put aside have in common, be they rejected by a sink or
// dead letters: files named by their IDs, durable, with a reason, in folders whose room their senders share.
package aside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// maxReason is the longest reason, in bytes.
const maxReason = 1 << 10

// Reason is a text as a reason: valid UTF-8 of 1 KiB at most.
func Reason(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

// Brief is an error whose text has that many bytes at most: brokers and servers may say what they like.
func Brief(err error, most int) error {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) > most {
		const cut = "…"
		text = strings.ToValidUTF8(text[:max(most-len(cut), 0)], "") + cut
	}
	return brief{err, text}
}

type brief struct {
	error
	text string
}

func (b brief) Error() string { return b.text }
func (b brief) Unwrap() error { return b.error }

// IsID reports whether a text has the form of what events.NewID makes, and so cannot lead out of
// a folder.
func IsID(id string) bool {
	return len(id) == 36 && strings.Trim(id, "0123456789abcdef-") == ""
}

// Write makes a file in a folder, which is made if need be: durable, and whole or not at all. The
// error is one of the file system.
func Write(folder, name string, text []byte) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(folder, name)); err != nil {
		return err
	}
	return Sync(folder)
}

// Sync makes what was made and removed in a folder durable.
func Sync(folder string) error {
	d, err := os.Open(folder) //nolint:gosec // it is below the data directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
