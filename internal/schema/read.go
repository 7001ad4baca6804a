package schema

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/transom-gateway/transom/internal/regularfile"
)

// cause is what went wrong with a file, without the path that stands before the
// message already.
func cause(err error) string {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		err = inPath.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file or folder"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	case errors.Is(err, syscall.EISDIR):
		return "it is a folder, and a file is expected"
	case errors.Is(err, regularfile.ErrIrregular):
		return "it is no regular file, but a pipe, a socket or a device"
	case errors.Is(err, syscall.ENOTDIR):
		return "it is a file, and a folder is expected"
	}
	return err.Error()
}
