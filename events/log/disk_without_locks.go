//go:build !unix

package log

import (
	"io"
	"os"
)

// Lock opens the file only: there is no lock that ends with the process.
func (disk) Lock(name string) (io.Closer, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}
