package security

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/tlsfiles"
)

// day is how long the keys of session tickets hold that are derived. Those of the days before and
// after decrypt, too: tickets outlive a day, and clocks differ.
const day = 24 * time.Hour

// Fleet is what the replicas of a gateway share, or what one process has for itself.
type Fleet struct {
	secret *tlsfiles.Kept[[]byte] // nil for none
	own    []byte
}

// NewFleet reads the secret that a setting names, file:PATH; "" makes one that nobody shares.
func NewFleet(setting string, resolve func(string) string) (*Fleet, error) {
	name, ok := strings.CutPrefix(setting, "file:")
	if !ok {
		f := &Fleet{own: make([]byte, sha256.Size)}
		_, err := rand.Read(f.own)
		return f, err
	}
	secret, err := tlsfiles.Secret(resolve(name), name)
	if err != nil {
		return nil, fmt.Errorf("fleet_secret: %w", err)
	}
	return &Fleet{secret: secret}, nil
}

// Shared reports whether others have the secret.
func (f *Fleet) Shared() bool { return f.secret != nil }

// Report has it told to somebody why the secret's file is not in effect, "" where it is.
func (f *Fleet) Report(tell func(why string)) {
	if f.secret != nil {
		f.secret.Report(func(why string) { tell(of("fleet_secret", why)) })
	}
}

// Review reads the secret again if it has changed.
func (f *Fleet) Review() {
	if f.secret != nil {
		f.secret.Review()
	}
}

func (f *Fleet) last() []byte {
	if f.secret != nil {
		return f.secret.Last()
	}
	return f.own
}

// QUIC derives the keys of stateless resets and of address tokens. They are those of the first call's
// secret for as long as the process lives: clients keep what was made with them.
func (f *Fleet) QUIC() (reset, token [32]byte, err error) {
	secret := f.last()
	var errs [2]error
	reset, errs[0] = derive(secret, "transom quic stateless reset")
	token, errs[1] = derive(secret, "transom quic address token")
	return reset, token, errors.Join(errs[:]...)
}

// derive makes a key for one use (RFC 5869).
func derive(secret []byte, use string) (key [32]byte, err error) {
	made, err := hkdf.Key(sha256.New, secret, nil, use, len(key))
	if err != nil {
		return key, err
	}
	return [32]byte(made), nil
}

// tickets are what the keys of session tickets are made of.
type tickets struct {
	keys   [][32]byte // of a file; nil: derived from the secret
	secret []byte
	today  int64 // days since 1970
}

// tickets are those of a moment.
func (s *Security) tickets(now time.Time) tickets {
	if s.keys != nil {
		return tickets{keys: s.keys.Last()}
	}
	return tickets{secret: s.fleet.last(), today: now.Unix() / int64(day/time.Second)}
}

// same reports whether others are of the same files and day.
func (t tickets) same(other tickets) bool {
	if t.today != other.today || len(t.keys) != len(other.keys) || len(t.secret) != len(other.secret) {
		return false
	}
	return (len(t.keys) == 0 || &t.keys[0] == &other.keys[0]) && (len(t.secret) == 0 || &t.secret[0] == &other.secret[0])
}

// derive makes the keys, of which the first encrypts. A ticket is for protocols of one kind alone.
func (t tickets) derive(protocols string) ([][32]byte, error) {
	var keys [][32]byte
	var errs []error
	add := func(secret []byte, use string) {
		key, err := derive(secret, use)
		keys, errs = append(keys, key), append(errs, err)
	}
	for _, key := range t.keys {
		add(key[:], "transom tls ticket key of a file for "+protocols)
	}
	if t.keys == nil {
		for _, d := range []int64{t.today, t.today - 1, t.today + 1} {
			date := time.Unix(d*int64(day/time.Second), 0).UTC().Format(time.DateOnly)
			add(t.secret, "transom tls ticket key of "+date+" for "+protocols)
		}
	}
	return keys, errors.Join(errs...)
}

// lookAtKeys has the files looked at that hold keys.
func (s *Security) lookAtKeys() {
	switch {
	case s.keys != nil:
		s.keys.Get()
	case s.fleet.secret != nil:
		s.fleet.secret.Get()
	}
}
