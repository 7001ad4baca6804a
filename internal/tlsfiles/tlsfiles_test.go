package tlsfiles

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made writes a certificate of a name, and its key, to a folder.
func made(t *testing.T, dir, name string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	replace(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// replace renames a new file to path.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// kept is a pair in a folder, of the name "first".
func kept(t *testing.T) (pair *Kept[*tls.Certificate], dir string) {
	t.Helper()
	dir = t.TempDir()
	made(t, dir, "first")
	pair, err := Pair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair, dir
}

// TestOldTime: a new certificate that has the time of the one before is read (Semantics 322).
func TestOldTime(t *testing.T) {
	pair, dir := kept(t)
	at := time.Now().Add(-time.Minute)
	same := func() {
		for _, name := range []string{"cert.pem", "key.pem"} {
			if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	same()
	pair.Review()
	made(t, dir, "other")
	same()
	pair.Review()
	if name := pair.Get().Leaf.Subject.CommonName; name != "other" {
		t.Errorf("it is still %q", name)
	}
}

// TestFilesThatCannotBe: what is no regular file, and what is too large, is refused
// without waiting and without being in memory; what was there before stays (Semantics 322).
func TestFilesThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		put  func(path string) error
		want string
	}{
		"a pipe":   {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is no regular file, but a pipe, a socket or a device"},
		"a folder": {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"a sparse file": {func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40))
		}, "more than 1048576 bytes"},
	} {
		for _, file := range []string{"cert.pem", "key.pem"} {
			t.Run(name+" for "+file, func(t *testing.T) {
				pair, dir := kept(t)
				path := filepath.Join(dir, file)
				if err := errors.Join(os.Remove(path), test.put(path)); err != nil {
					t.Fatal(err)
				}
				if why := pair.Why(); !strings.Contains(why, path+": "+test.want+"; what was there before stays in service") {
					t.Errorf("why: %q", why)
				}
				if name := pair.Get().Leaf.Subject.CommonName; name != "first" {
					t.Errorf("it is %q", name)
				}
				if _, err := Pair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("at a start: %v", err)
				}
				if _, err := Authorities(path, path); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("as authorities: %v", err)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				made(t, dir, "other")
				if why := pair.Why(); why != "" || pair.Get().Leaf.Subject.CommonName != "other" {
					t.Errorf("after it is mended: %q", why)
				}
			})
		}
	}
}

// TestStalledFile: while a file is read that does not come, nobody waits for it but its
// one reader (Semantics 322).
func TestStalledFile(t *testing.T) {
	pair, dir := kept(t)
	reading, goOn := make(chan struct{}), make(chan struct{})
	read := pair.read
	var readers atomic.Int32
	pair.read = func() (*tls.Certificate, error) {
		readers.Add(1)
		select {
		case reading <- struct{}{}:
		case <-goOn: // a look after the test, at files that are gone
		}
		<-goOn
		return read()
	}
	made(t, dir, "other")
	for range 3 {
		if name := pair.Get().Leaf.Subject.CommonName; name != "first" {
			t.Errorf("it is %q", name)
		}
	}
	<-reading
	for range 100 {
		pair.Get()
	}
	pair.Review() // which gives up
	pair.Report(func(string) {})
	if why := pair.Why(); why != "" {
		t.Errorf("why: %q", why)
	}
	if n := readers.Load(); n != 1 {
		t.Errorf("%d read at once", n)
	}
	close(goOn)
	poll.Until(t, "the new pair to be in service", func() bool { return pair.Get().Leaf.Subject.CommonName == "other" })
}

// TestGetReadsSoon: without anybody who reviews, the next but one sees a change.
func TestGetReadsSoon(t *testing.T) {
	pair, dir := kept(t)
	made(t, dir, "other")
	poll.Until(t, "the new pair to be in service", func() bool { return pair.Get().Leaf.Subject.CommonName == "other" })
}
