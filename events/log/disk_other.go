//go:build !linux

package log

import (
	"errors"
	"os"
)

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func (f diskFile) Sync() error { return f.File.Sync() }
