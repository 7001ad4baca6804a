package upstream

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/transom-gateway/transom/proxy/transport"
)

// Ticket brings a client back to the endpoint that answered it (Traffic 167). It is used
// by one call, by which it may be set at any time.
type Ticket struct {
	// Sent is what the client says, "" for nothing.
	Sent     string
	answered atomic.Pointer[Endpoint]
}

// Next returns the ticket that the client should have from now on; "" where it has that
// already, or where no endpoint answered.
func (t *Ticket) Next() string {
	if e := t.answered.Load(); e != nil && e.ticket != t.Sent {
		return e.ticket
	}
	return ""
}

// Told notes what became of the last attempt: its endpoint has answered the call with
// success, the end of its messages or an error of its own, or err is another one.
func (t *Turn) Told(err error) {
	if t.place.Ticket == nil || t.last == nil {
		return
	}
	var told *transport.ToldError
	if err == nil || err == io.EOF || errors.As(err, &told) {
		t.place.Ticket.answered.Store(t.last)
	}
}

// Own reports whether the last attempt was made at the endpoint of the client's ticket.
func (t *Turn) Own() bool { return t.isOwn(t.last) }

func (t *Turn) isOwn(e *Endpoint) bool {
	return e != nil && t.place.Ticket != nil && e.ticket == t.place.Ticket.Sent
}

// OwnBeside reports whether one of the attempts side by side was made at that endpoint.
func (t *Turn) OwnBeside() bool {
	if t.party == nil {
		return false
	}
	t.party.mu.Lock()
	defer t.party.mu.Unlock()
	return slices.ContainsFunc(t.party.at, t.isOwn)
}

// ticketSize is the length of a ticket before it is written as text, in bytes.
const ticketSize = 18

// ticket makes the ticket of an endpoint: one with the same secret makes the same one,
// and nobody else can tell what it is of.
func (c *Conn) ticket(addresses []string) string {
	if !c.target.Sticky {
		return ""
	}
	secret := []byte(c.target.StickySecret)
	if len(secret) == 0 {
		secret = c.pool.secret[:]
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("transom endpoint\n" + strings.Join(addresses, "\n"))) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:ticketSize])
}

// newSecret makes what tickets are made of where no secret is given.
func newSecret() (secret [32]byte) {
	_, _ = rand.Read(secret[:]) // never fails: it crashes the process instead
	return secret
}

// tickets finds endpoints by their tickets.
type tickets map[string]*Endpoint

func (c *Conn) ticketsOf(endpoints []*Endpoint) tickets {
	if !c.target.Sticky {
		return nil
	}
	all := make(tickets, len(endpoints))
	for _, e := range endpoints {
		all[e.ticket] = e
	}
	return all
}
