package log

import (
	"os"
	"syscall"
)

func allocate(f *os.File, size int64) error {
	err := control(f, func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
	return pathError("fallocate", f, err)
}

func (f diskFile) Sync() error {
	return pathError("fdatasync", f.File, control(f.File, syscall.Fdatasync))
}
