// Package tlsfiles keeps what TLS needs of files: pairs of a certificate and its key,
// and authorities. Files are read again when they have changed; while they cannot be
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
	"os"
	"slices"
	"sync"
	"time"
)

// Kept is what some files held when they could last be used. It is safe for
// concurrent use.
type Kept[T any] struct {
	names []string
	read  func() (T, error)
	// valid says why others refuse a value at this time. A valid one is not given up
	// for one that is not.
	valid func(T) error

	mu     sync.Mutex
	times  []time.Time // of the files as they were last read
	value  T
	err    error            // why they could not be used then
	report func(why string) // nil for nobody
}

// Pair keeps a certificate and its key.
func Pair(cert, key string) (*Kept[*tls.Certificate], error) {
	return keep(&Kept[*tls.Certificate]{
		names: []string{cert, key},
		read: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("certificate %s and key %s: %w", cert, key, err)
			}
			return &pair, nil
		},
		valid: func(pair *tls.Certificate) error {
			if err := Valid(pair.Leaf, time.Now()); err != nil {
				return fmt.Errorf("certificate %s: %w", cert, err)
			}
			return nil
		},
	})
}

// Authorities keeps the certificates of authorities. Errors call their file by what.
func Authorities(name, what string) (*Kept[*x509.CertPool], error) {
	return keep(&Kept[*x509.CertPool]{
		names: []string{name},
		read: func() (*x509.CertPool, error) {
			pem, err := os.ReadFile(name)
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

// keep reads for the first time.
func keep[T any](k *Kept[T]) (*Kept[T], error) {
	k.times = k.modified()
	var err error
	k.value, err = k.read()
	return k, err
}

// Get returns what the files hold; while they cannot be used, what they held before.
func (k *Kept[T]) Get() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	times := k.modified()
	if slices.Equal(times, k.times) {
		return k.value
	}
	k.times = times
	value, err := k.read()
	if err == nil && k.valid(k.value) == nil {
		err = k.valid(value)
	}
	if k.err = err; err == nil {
		k.value = value
	}
	if k.report != nil {
		k.report(k.why())
	}
	return k.value
}

// Report has f told why the files are not in effect, "" where they are: now if they are
// not, and whenever they have been read again.
func (k *Kept[T]) Report(f func(why string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report = f
	if why := k.why(); why != "" {
		f(why)
	}
}

// Why says why the files are not in effect, or why others refuse what they hold; ""
// where all is well.
func (k *Kept[T]) Why() string {
	k.Get()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.why()
}

// why is Why of what was read last. k.mu is held.
func (k *Kept[T]) why() string {
	if k.err != nil {
		return k.err.Error() + "; what was there before stays in service"
	}
	if err := k.valid(k.value); err != nil {
		return err.Error()
	}
	return ""
}

func (k *Kept[T]) modified() []time.Time {
	times := make([]time.Time, len(k.names))
	for i, name := range k.names {
		if info, err := os.Stat(name); err == nil {
			times[i] = info.ModTime()
		}
	}
	return times
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
