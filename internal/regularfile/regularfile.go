// Package regularfile reads files that others name and others write: what is no
// regular file is refused before it is opened for good, so that nobody waits for the
// writer of a pipe, and what is larger than a limit before it is in memory. Nobody waits
// for ever for a file system that does not answer. It knows nothing of what the files hold.
//
//	data, err := regularfile.Read("cert.pem", 1<<20)
package regularfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrIrregular is wrapped by the errors of pipes, sockets and devices.
var ErrIrregular = errors.New("is no regular file, but a pipe, a socket or a device")

// ErrTooLarge is wrapped by the errors of files beyond their limit.
var ErrTooLarge = errors.New("is larger than it may be")

// Read returns what a file holds, limit bytes at most. A folder is syscall.EISDIR. An
// error names the file, but for one of ReadAll.
func Read(name string, limit int64) ([]byte, error) {
	return ReadContext(context.Background(), name, limit)
}

// ReadContext is Read until ctx ends.
func ReadContext(ctx context.Context, name string, limit int64) ([]byte, error) {
	return await(ctx, files, "read", name, func(p *progress) ([]byte, error) { return read(p, name, limit) })
}

func read(p *progress, name string, limit int64) ([]byte, error) {
	// Before it is opened: that may already do something to a device.
	info, err := os.Stat(name)
	if err != nil {
		return nil, unopened(err)
	}
	if err := check(name, info); err != nil {
		return nil, err
	}
	// It may be another file by now: opening a pipe must not wait, either.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := check(name, info); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, tooLarge(name, limit)
	}
	data, err := ReadAll(counted{file, p}, limit)
	if errors.Is(err, ErrTooLarge) {
		err = tooLarge(name, limit)
	}
	return data, err
}

// counted is a reader that tells how far it has come.
type counted struct {
	io.Reader
	progress *progress
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.progress.Add(int64(n))
	return n, err
}

// unopened says of an error that it came of opening the file, as readers expect.
func unopened(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return &fs.PathError{Op: "open", Path: inPath.Path, Err: inPath.Err}
	}
	return err
}

func check(name string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return &fs.PathError{Op: "read", Path: name, Err: ErrIrregular}
}

func tooLarge(name string, limit int64) error {
	return &fs.PathError{Op: "read", Path: name, Err: limited(limit)}
}

// limited is an ErrTooLarge that says the limit.
type limited int64

func (l limited) Error() string        { return fmt.Sprintf("more than %d bytes", int64(l)) }
func (l limited) Is(target error) bool { return target == ErrTooLarge }

// ReadAll reads to the end, or fails past the limit: files may grow, or lie about their
// size.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, limited(limit)
	}
	return data, nil
}
