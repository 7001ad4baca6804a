package regularfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"empty": "", "full": "12345678", "large": "123456789"} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path("sparse"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path("sparse"), 1<<40); err != nil { // more than there is memory
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for from, to := range map[string]string{"link": "full", "link of a pipe": "pipe", "link of nothing": "nothing"} {
		if err := os.Symlink(to, path(from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, want string
		is         error
	}{
		{"empty", "", nil},
		{"full", "12345678", nil},
		{"link", "12345678", nil},
		{"large", "large: more than 8 bytes", ErrTooLarge},
		{"sparse", "sparse: more than 8 bytes", ErrTooLarge},
		{"pipe", "pipe: is no regular file", ErrIrregular},
		{"link of a pipe", "link of a pipe: is no regular file", ErrIrregular},
		{"socket", "socket: is no regular file", ErrIrregular},
		{"link of nothing", "no such file", fs.ErrNotExist},
		{".", "is a directory", syscall.EISDIR},
	} {
		t.Run("Semantics 322: "+test.name, func(t *testing.T) {
			data, err := Read(path(test.name), 8)
			if test.is == nil {
				if err != nil || string(data) != test.want {
					t.Errorf("%q, %v", data, err)
				}
				return
			}
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) || data != nil {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	if _, err := Read("/dev/null", 8); !errors.Is(err, ErrIrregular) {
		t.Errorf("a device: %v", err)
	}
}

// TestReadAll: a reader that goes on is left where the limit is known to be passed.
func TestReadAll(t *testing.T) {
	r := strings.NewReader("123456789012")
	if _, err := ReadAll(r, 8); !errors.Is(err, ErrTooLarge) || r.Len() != 3 {
		t.Errorf("%v, with %d bytes left", err, r.Len())
	}
}
