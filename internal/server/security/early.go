package security

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"sync"
)

// ticketsKnown is for how many of the tickets that were issued last is known whether early data came
// under them. Older ones resume sessions, but are good for no early data.
const ticketsKnown = 1 << 17

// early decides which tickets are good for early data (0-RTT): each of them once, at the process that
// issued it. What is sent a second time is thus not run a second time (RFC 8446, section 8.1).
type early struct {
	origin [24]byte // of this process's tickets

	mu     sync.Mutex
	issued uint64
	used   [ticketsKnown / 64]uint64 // a bit for each of the tickets that were issued last
}

func newEarly() (*early, error) {
	e := new(early)
	_, err := rand.Read(e.origin[:])
	return e, err
}

// issue numbers a ticket, and returns what it says of itself.
func (e *early) issue() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.issued++
	word, bit := place(e.issued)
	e.used[word] &^= bit
	return binary.BigEndian.AppendUint64(e.origin[:len(e.origin):len(e.origin)], e.issued)
}

// take reports whether a ticket is good for early data, which it is not any more after that.
func (e *early) take(said [][]byte) bool {
	for _, text := range said {
		if own, ok := bytes.CutPrefix(text, e.origin[:]); ok && len(own) == 8 {
			return e.takeNumber(binary.BigEndian.Uint64(own))
		}
	}
	return false
}

func (e *early) takeNumber(number uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if number == 0 || number > e.issued || e.issued-number >= ticketsKnown {
		return false
	}
	word, bit := place(number)
	good := e.used[word]&bit == 0
	e.used[word] |= bit
	return good
}

func place(number uint64) (word, bit uint64) {
	number %= ticketsKnown
	return number / 64, 1 << (number % 64)
}

// EarlyConfig is Config for QUIC with early data, from clients for whose connections may is true. It is
// given the context of the handshake. A session with a certificate of its client has none: whoever is
// known by it may have it revoked.
func (s *Security) EarlyConfig(may func(context.Context) bool, protocols ...string) (*tls.Config, error) {
	e, err := newEarly()
	if err != nil {
		return nil, err
	}
	v := s.variant(protocols)
	v.early, v.may = e, may
	return v.whole(), nil
}

// addEarly has tickets say whether they are good for early data, and makes the configuration for clients
// from whom none is taken.
func (m *made) addEarly(e *early) {
	encrypt, decrypt := m.config.EncryptTicket, m.config.DecryptTicket
	m.config.WrapSession = func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if session.EarlyData && len(cs.PeerCertificates) == 0 {
			session.Extra = append(session.Extra, e.issue())
		}
		return encrypt(cs, session)
	}
	unwrap := func(take func([][]byte) bool) func([]byte, tls.ConnectionState) (*tls.SessionState, error) {
		return func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			session, err := decrypt(identity, cs)
			if session != nil {
				session.EarlyData = session.EarlyData && take(session.Extra)
			}
			return session, err
		}
	}
	m.late = m.config.Clone()
	m.late.UnwrapSession = unwrap(func([][]byte) bool { return false })
	m.config.UnwrapSession = unwrap(e.take)
}
