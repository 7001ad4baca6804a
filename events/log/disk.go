package log

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// filesystem is what the log needs of one. Names are paths. Nothing that it changes is
// durable before SyncDir of the folder, or Sync of the file, has returned nil.
type filesystem interface {
	MkdirAll(name string) error
	// Create makes a file that must not be there yet.
	Create(name string) (file, error)
	Open(name string, write bool) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// List returns the names in a folder, sorted.
	List(name string) ([]string, error)
	SyncDir(name string) error
	// Lock takes a lock that ends with the process, or fails with ErrLocked.
	Lock(name string) (io.Closer, error)
}

// file is an open one. Reads may go on while it is written.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Allocate gives the file a size, and the room for it on the disk.
	Allocate(size int64) error
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes all that was written durable. After an error it says nothing
	// any more about what was written before.
	Sync() error
}

var _ filesystem = disk{}

// disk is the file system of the machine.
type disk struct{}

func (disk) MkdirAll(name string) error {
	missing := name
	for { // the first folder that is there has to be synced as well
		parent := filepath.Dir(missing)
		if _, err := os.Stat(missing); err == nil || parent == missing {
			break
		}
		missing = parent
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return err
	}
	for at := name; at != missing; at = filepath.Dir(at) {
		if err := (disk{}).SyncDir(filepath.Dir(at)); err != nil {
			return err
		}
	}
	return nil
}

func (disk) Create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Open(name string, write bool) (file, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }
func (disk) Remove(name string) error     { return os.Remove(name) }

func (disk) List(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (disk) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// diskFile is a file of the machine.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Allocate(size int64) error {
	err := allocate(f.File, size)
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EOPNOTSUPP) {
		return err
	}
	// A file system without preallocation: what is written has its room.
	zeros := make([]byte, 256<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// outOfRoom reports whether a disk, or the process's share of it, is full.
func outOfRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// absent reports whether a file is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
