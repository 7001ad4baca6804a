// Package tlsfiles keeps what connections need of files: pairs of a certificate and its
// key, authorities, and what else is read by Keep. Files are read again when they have changed; while they cannot be
// used, what they held before stays. It knows neither connections nor configurations.
//
//	pair, err := tlsfiles.Pair("cert.pem", "key.pem")
//	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Get(), nil }
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/regularfile"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 1 << 20

// patience is how long Review and Why wait for files that are being read: a file system
// may be stalled, and then what was read before stays.
const patience = time.Second

// Kept is what some files held when they could last be used. It is safe for
// concurrent use.
type Kept[T any] struct {
	names []string
	read  func() (T, error)
	// valid says why others refuse a value at this time. A valid one is not given up
	// for one that is not.
	valid func(T) error
	value atomic.Pointer[T]

	// mu is never held while a file is looked at or read.
	mu      sync.Mutex
	looking *look // under way; nil for none
	seen    []fs.FileInfo
	err     error            // why they could not be used when they were read last
	report  func(why string) // nil for nobody
}

// look is one look at the files.
type look struct {
	begun time.Time
	done  chan struct{} // closed at its end
}

// Pair keeps a certificate and its key.
func Pair(cert, key string) (*Kept[*tls.Certificate], error) {
	return keep(&Kept[*tls.Certificate]{
		names: []string{cert, key},
		read: func() (*tls.Certificate, error) {
			pair, err := readPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("certificate %s and key %s: %w", cert, key, err)
			}
			return pair, nil
		},
		valid: func(pair *tls.Certificate) error {
			if err := Valid(pair.Leaf, time.Now()); err != nil {
				return fmt.Errorf("certificate %s: %w", cert, err)
			}
			return nil
		},
	})
}

func readPair(cert, key string) (*tls.Certificate, error) {
	certPEM, err := regularfile.Read(cert, maxFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := regularfile.Read(key, maxFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// Authorities keeps the certificates of authorities. Errors call their file by what.
func Authorities(name, what string) (*Kept[*x509.CertPool], error) {
	return keep(&Kept[*x509.CertPool]{
		names: []string{name},
		read: func() (*x509.CertPool, error) {
			pem, err := regularfile.Read(name, maxFile)
			if err != nil {
				return nil, err
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s holds no PEM certificate", what)
			}
			return pool, nil
		},
		valid: func(*x509.CertPool) error { return nil },
	})
}

// Keep keeps what read makes of the files with these names. valid says why others refuse a
// value at this time: a valid one is not given up for one that is not.
func Keep[T any](names []string, read func() (T, error), valid func(T) error) (*Kept[T], error) {
	return keep(&Kept[T]{names: names, read: read, valid: valid})
}

// keep reads for the first time.
func keep[T any](k *Kept[T]) (*Kept[T], error) {
	k.seen = k.stat()
	value, err := k.read()
	k.value.Store(&value)
	return k, err
}

// Get returns what the files hold; while they cannot be used, what they held before. It
// never waits for a file: where one has changed a moment ago, it has begun to be read.
func (k *Kept[T]) Get() T {
	k.look()
	return *k.value.Load()
}

// Last returns what the last look at the files has found, and takes none.
func (k *Kept[T]) Last() T { return *k.value.Load() }

// Review reads the files again if they have changed, and waits for that, but not for long.
func (k *Kept[T]) Review() {
	l, begun := k.look()
	if !l.wait() || begun {
		return
	}
	l, _ = k.look() // the one before may have missed the change
	l.wait()
}

// wait reports whether a look has ended, or does so in time.
func (l *look) wait() bool {
	timer := time.NewTimer(patience - time.Since(l.begun))
	defer timer.Stop()
	select {
	case <-l.done:
		return true
	case <-timer.C:
		return false
	}
}

// look begins to look at the files, unless somebody does: there is one reader at a time.
// begun reports whether it did.
func (k *Kept[T]) look() (l *look, begun bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.looking != nil {
		return k.looking, false
	}
	k.looking = &look{begun: time.Now(), done: make(chan struct{})}
	go k.refresh(k.looking, k.seen)
	return k.looking, true
}

// refresh reads the files if they are others than were seen.
func (k *Kept[T]) refresh(l *look, seen []fs.FileInfo) {
	defer close(l.done)
	now := k.stat()
	changed := !slices.EqualFunc(now, seen, sameFile)
	var value T
	var err error
	if changed {
		if value, err = k.read(); err == nil && k.valid(*k.value.Load()) == nil {
			err = k.valid(value)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looking = nil
	if changed {
		k.seen = now
		if k.err = err; err == nil {
			k.value.Store(&value)
		}
	}
	if k.report != nil { // what is unchanged may have expired
		k.report(k.why())
	}
}

// Report has f told why the files are not in effect, "" where they are: now if they are
// not, and whenever they have been looked at again.
func (k *Kept[T]) Report(f func(why string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report = f
	if why := k.why(); why != "" {
		f(why)
	}
}

// Why says why the files are not in effect, or why others refuse what they hold; ""
// where all is well. It waits for the files as Review does.
func (k *Kept[T]) Why() string {
	k.Review()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.why()
}

// why is Why of what was read last. k.mu is held.
func (k *Kept[T]) why() string {
	if k.err != nil {
		return k.err.Error() + "; what was there before stays in service"
	}
	if err := k.valid(*k.value.Load()); err != nil {
		return err.Error()
	}
	return ""
}

// stat looks at the files; nil stands for one that is not there.
func (k *Kept[T]) stat() []fs.FileInfo {
	all := make([]fs.FileInfo, len(k.names))
	for i, name := range k.names {
		info, err := regularfile.Stat(name)
		if errors.Is(err, regularfile.ErrStalled) {
			break // reading will say so
		}
		if err == nil {
			all[i] = info
		}
	}
	return all
}

// sameFile reports whether a name leads to the file that it led to before, unchanged. A
// copy may have the time of what it replaces.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Mode() == b.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// Valid says why a certificate is refused at a time; nil where it is not, or is not
// known.
func Valid(leaf *x509.Certificate, now time.Time) error {
	switch {
	case leaf == nil:
		return nil
	case now.After(leaf.NotAfter):
		return errors.New("it expired on " + leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return errors.New("it is valid from " + leaf.NotBefore.UTC().Format(time.RFC3339) + " only")
	}
	return nil
}
