package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// CheckListener looks at a listener's files and its socket as Listen would, without
// listening (Semantics 322).
func CheckListener(c *transomv1.Listener, file *config.File) error {
	var errs []error
	if c.GetTls() != nil {
		l := new(listener)
		err := l.serveTLS(c.GetTls(), file)
		if err == nil {
			l.report(func(_, why string) { err = errors.Join(err, errors.New(why)) })
		}
		errs = append(errs, err)
	}
	if socket, ok := strings.CutPrefix(c.GetAddress(), "unix:"); ok {
		errs = append(errs, checkSocket(socket))
	}
	return errors.Join(errs...)
}

// maxSocket is how long the path of a socket may be, in bytes: sun_path of unix(7) has
// 108 with the zero that ends it.
const maxSocket = 107

// checkSocket looks whether a socket could be made.
func checkSocket(path string) error {
	if len(path) > maxSocket {
		return fmt.Errorf("unix:%s: the path has %d bytes, a socket's may have %d", path, len(path), maxSocket)
	}
	folder := filepath.Dir(path)
	switch info, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("unix:%s: there is no folder %s; make it, or choose another address", path, folder)
	case err != nil:
		return fmt.Errorf("unix:%s: %w", path, err)
	case !info.IsDir():
		return fmt.Errorf("unix:%s: %s is a file, expected a folder", path, folder)
	}
	if err := writable(folder); err != nil {
		return fmt.Errorf("unix:%s: no socket can be made in the folder %s: %w", path, folder, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("unix:%s: there is something else than a socket already; remove it, or choose another address", path)
	}
	return nil
}

// writable says why this process may not make files in a folder; nil where it may.
func writable(folder string) error {
	const write, search = 2, 1 // W_OK and X_OK of access(2)
	return syscall.Access(folder, write|search)
}
