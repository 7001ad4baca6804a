// Package addressfile reads the addresses of a backend from a file that others write:
// a script, a template of a configuration system, a mounted ConfigMap. It knows
// neither what connects to them nor how calls are spread.
//
//	f, err := addressfile.Watch("/etc/transom/books.yaml", func(all []addressfile.Address, err error) { … })
//	defer f.Close()
package addressfile

import (
	"errors"
	"fmt"
	"sync"

	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/watch"
)

// maxFile is the largest file that is read, in bytes: room for more than 10,000
// addresses.
const maxFile = 1 << 20

// Address is one server of a backend.
type Address struct {
	// Address is "host:port".
	Address string
	// Weight is its part of the calls, in proportion to those of the others; 0 drains.
	Weight uint32
	// Priority is 0 for those that get calls as a rule; those of a larger one get them
	// only while none of a smaller one can take them.
	Priority uint32
	// Zone is where it is; "" where the file does not say.
	Zone string
}

// ErrEmpty is the error of a file without an address.
var ErrEmpty = errors.New("the file lists no address")

// Read reads a file. An error names it, with the line and column where that is known.
func Read(name string) ([]Address, error) {
	data, err := regularfile.Read(name, maxFile)
	if err != nil {
		return nil, err
	}
	all, problems := Parse(name, data)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", name, ErrEmpty)
	}
	return all, nil
}

// File is one that is watched.
type File struct {
	name    string
	watcher *watch.Watcher

	mu  sync.Mutex // read and told in one, so that the newest content is told last
	now func([]Address, error)
}

// Watch reads a file and tells what is in it by calls of now, of which the first one
// has returned when Watch does, and the others come from goroutines of File, never two
// at once. The error is that of the first read, or of the watch: then nobody watches.
func Watch(name string, now func([]Address, error)) (*File, error) {
	f := &File{name: name, now: now}
	var err error
	// It is read after the watch has begun, so that no change is between the two.
	if f.watcher, err = watch.New([]string{name}, func() { _ = f.read() }); err != nil {
		return nil, err
	}
	if err := f.read(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *File) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := Read(f.name)
	f.now(all, err)
	return err
}

// Close ends the watch and waits for the last call to return.
func (f *File) Close() error { return f.watcher.Close() }
