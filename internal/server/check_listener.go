package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/server/security"
)

// Warning is what is good now, and may not be for long.
type Warning struct {
	// Path is that of the setting.
	Path string
	// Text says what it is.
	Text string
}

// CheckFiles looks at the files of all listeners and at their sockets as Listen would, without
// listening (Semantics 322). where says where a setting stands, by its path.
func CheckFiles(file *config.File, where func(path string) string, now time.Time) (warnings []Warning, _ error) {
	var errs []error
	fleet, err := security.NewFleet(file.Config.GetFleetSecret(), file.Resolve)
	if err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", where("fleet_secret"), err))
		fleet, err = security.NewFleet("", nil)
	}
	if err != nil {
		return nil, err
	}
	check := func(path string, secured *security.Security, err error) {
		w, err := checkSecured(path, file, secured, err, now)
		warnings = append(warnings, w...)
		if err != nil {
			errs = append(errs, placed(where, path, err))
		}
	}
	for i, c := range file.Config.GetListeners() {
		path := fmt.Sprintf("listeners[%d]", i)
		if c.GetTls() != nil {
			l := new(listener)
			err := l.serveTLS(c.GetTls(), file, fleet)
			check(path, l.secured, err)
		}
		if socket, ok := strings.CutPrefix(c.GetAddress(), "unix:"); ok && !strings.HasPrefix(socket, "@") {
			if err := checkSocket(socket); err != nil {
				errs = append(errs, placed(where, path, err))
			}
		}
	}
	if a := file.Config.GetAdmin(); a.GetTls() != nil && a.GetAddress() != config.NoAdmin {
		secured, err := adminTLS(a.GetTls(), file, fleet)
		check("admin", secured, err)
	}
	return warnings, errors.Join(errs...)
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
