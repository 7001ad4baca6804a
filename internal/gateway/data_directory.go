package gateway

import (
	"os"
	"path/filepath"

	"github.com/transom-gateway/transom/internal/config"
)

// dataDirectory is where the gateway keeps what it must not lose. It is made by who first
// keeps something there.
func dataDirectory(file *config.File) string {
	if set := file.Config.GetDataDirectory(); set != "" {
		if filepath.IsAbs(set) {
			return set
		}
		return filepath.Join(file.Directory, set)
	}
	// systemd sets it to a list, with colons between.
	if list := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(list) > 0 && list[0] != "" {
		return list[0]
	}
	const name = "transom"
	if home := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, name)
	}
	home, err := os.UserHomeDir()
	if os.Getuid() == 0 || err != nil || !filepath.IsAbs(home) || home == "/" { // as in a container
		return filepath.Join("/var/lib", name)
	}
	return filepath.Join(home, ".local", "state", name)
}
