package tlsfiles

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/transom-gateway/transom/internal/regularfile"
)

const (
	// maxRevocations is the largest file of revocation lists that is read, in bytes.
	maxRevocations = 16 << 20
	// maxVerified is how many keys of authorities are remembered whose signature of a list was
	// checked.
	maxVerified = 64
)

// Revocations are revocation lists of authorities (RFC 5280). It is safe for concurrent use.
type Revocations struct {
	lists map[string][]*revocationList // by the name of the authority, as it is encoded
}

// revocationList is one list.
type revocationList struct {
	list    *x509.RevocationList // without its entries
	revoked map[string]bool      // by serial number

	mu       sync.Mutex
	verified map[[sha256.Size]byte]error // by the authority's key
}

// RevocationLists keeps the revocation lists of a file: PEM blocks, or one list in DER. Errors call
// the file by what.
func RevocationLists(name, what string) (*Kept[*Revocations], error) {
	return keep(&Kept[*Revocations]{
		names: []string{name},
		read: func() (*Revocations, error) {
			data, err := regularfile.Read(name, maxRevocations)
			if err != nil {
				return nil, err
			}
			r, err := parseRevocations(data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			return r, nil
		},
		valid: func(r *Revocations) error {
			if err := r.expired(time.Now()); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		},
	})
}

func parseRevocations(data []byte) (*Revocations, error) {
	r := &Revocations{lists: map[string][]*revocationList{}}
	if !bytes.Contains(data, []byte("-----BEGIN")) && len(bytes.TrimSpace(data)) > 0 {
		return r, r.add(data)
	}
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("PEM block %d is a %q, expected \"X509 CRL\"", n, block.Type)
		}
		if err := r.add(block.Bytes); err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
	}
	if n == 0 {
		return nil, errors.New("it holds no revocation list, expected PEM blocks \"X509 CRL\" or one list in DER; openssl ca -gencrl makes one")
	}
	return r, nil
}

func (r *Revocations) add(der []byte) error {
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("it is no revocation list: %w", err)
	}
	// What is critical and not understood decides which certificates a list is for: it must not be
	// used (RFC 5280, section 5.2).
	for _, e := range l.Extensions {
		if e.Critical {
			return fmt.Errorf("the list of %s has the critical extension %s, expected a full list of all certificates of its authority", l.Issuer, e.Id)
		}
	}
	if l.NextUpdate.IsZero() {
		return fmt.Errorf("the list of %s does not say when the next one comes (nextUpdate)", l.Issuer)
	}
	kept := &revocationList{list: l, revoked: make(map[string]bool, len(l.RevokedCertificateEntries)), verified: map[[sha256.Size]byte]error{}}
	for _, e := range l.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("the list of %s has an entry with the critical extension %s, expected entries of its own certificates alone", l.Issuer, x.Id)
			}
		}
		kept.revoked[serial(e.SerialNumber)] = true
	}
	l.RevokedCertificateEntries, l.RevokedCertificates = nil, nil //nolint:staticcheck // the deprecated field holds memory, too
	r.lists[string(l.RawIssuer)] = append(r.lists[string(l.RawIssuer)], kept)
	return nil
}

func serial(n *big.Int) string { return string(n.Bytes()) }

// expired says which list has expired, if one has.
func (r *Revocations) expired(now time.Time) error {
	if r == nil {
		return nil
	}
	for _, lists := range r.lists {
		for _, l := range lists {
			if err := l.current(now); err != nil {
				return fmt.Errorf("%w; clients with certificates of it are refused", err)
			}
		}
	}
	return nil
}

// current says why a list does not hold at a time.
func (l *revocationList) current(now time.Time) error {
	switch {
	case now.After(l.list.NextUpdate):
		return fmt.Errorf("the revocation list of %s expired on %s", l.list.Issuer, l.list.NextUpdate.UTC().Format(time.RFC3339))
	case now.Before(l.list.ThisUpdate):
		return fmt.Errorf("the revocation list of %s is valid from %s only", l.list.Issuer, l.list.ThisUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}

// Check says why a certificate is refused whose verified chains are these; nil where one of them
// holds. Each authority of a chain needs a list that has not expired.
func (r *Revocations) Check(chains [][]*x509.Certificate, now time.Time) error {
	var first error
	for _, chain := range chains {
		err := r.checkChain(chain, now)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (r *Revocations) checkChain(chain []*x509.Certificate, now time.Time) error {
	for i := range len(chain) - 1 {
		if err := r.checkOne(chain[i], chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

func (r *Revocations) checkOne(cert, issuer *x509.Certificate, now time.Time) error {
	err := fmt.Errorf("there is no revocation list of %s, which has signed the certificate %s", issuer.Subject, cert.Subject)
	holds := false
	for _, l := range r.lists[string(cert.RawIssuer)] {
		if why := l.signedBy(issuer); why != nil {
			if !holds {
				err = fmt.Errorf("the revocation list of %s is not signed by it: %w", issuer.Subject, why)
			}
			continue
		}
		if l.revoked[serial(cert.SerialNumber)] { // by an old list, too
			return fmt.Errorf("the certificate %s with the serial number %x was revoked by %s", cert.Subject, cert.SerialNumber, issuer.Subject)
		}
		if why := l.current(now); why != nil {
			if !holds {
				err = why
			}
			continue
		}
		holds, err = true, nil
	}
	return err
}

// signedBy says why a list is not that of an authority.
func (l *revocationList) signedBy(issuer *x509.Certificate) error {
	key := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	l.mu.Lock()
	why, known := l.verified[key]
	l.mu.Unlock()
	if known {
		return why
	}
	why = l.list.CheckSignatureFrom(issuer)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.verified) < maxVerified {
		l.verified[key] = why
	}
	return why
}
