//go:build unix

package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// control calls f with the file's descriptor, again where a signal interrupted it.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) {
		for result = f(int(fd)); errors.Is(result, syscall.EINTR); {
			result = f(int(fd))
		}
	})
	return errors.Join(err, result)
}

func pathError(op string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

// Lock holds the file by flock, which ends with the process however that ends, and
// writes the process's number into it for the error of the next.
func (disk) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = control(f, func(fd int) error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 20)
		n, _ := f.ReadAt(holder, 0) // it is only for the message
		err = fmt.Errorf("%s: %w (its number was %q)", name, ErrLocked, holder[:n])
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprint(f, os.Getpid()) // on a full disk there is no number
	}
	return f, nil
}
