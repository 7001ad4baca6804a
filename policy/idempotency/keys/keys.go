// Package keys is where the policy idempotency_key keeps what is known of keys: in the memory
// of the process, or in Redis for all gateways. It reads keys, and knows neither methods nor
// what their answers say.
//
//	lease, kept, err := store.Begin(ctx, &call)
//	switch {
//	case lease != nil:
//		lease.End(record, ttl) // once the call has ended
//	case kept != nil:
//		// another call has had the key
//	}
package keys

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"sync"
	"time"
)

// Digest is a SHA-256.
type Digest = [sha256.Size]byte

// Append appends texts so that no two lists of them are written alike.
func Append(b []byte, texts ...string) []byte {
	for _, text := range texts {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(text))), text...)
	}
	return b
}

// DigestOf is that of texts, which are short, and of what stands behind them.
func DigestOf(behind []byte, texts ...string) Digest {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.Reset()
	h.scratch = Append(h.scratch[:0], texts...)
	_, _ = h.Write(h.scratch) // a hash takes all
	_, _ = h.Write(behind)
	h.scratch = h.Sum(h.scratch[:0])
	return Digest(h.scratch)
}

// hasher is a hash with memory for what is written to it. It is used again and again.
type hasher struct {
	hash.Hash
	scratch []byte
}

var hashers = sync.Pool{New: func() any { return &hasher{Hash: sha256.New()} }}

// Call is one call under a key.
type Call struct {
	// ID is the key's.
	ID Digest
	// Fingerprint tells requests apart that have one key.
	Fingerprint Digest
	// TTL is how long the key is kept, from the end of the call.
	TTL time.Duration
	// Again tells that a call which nobody has heard of any more may be made again.
	Again bool
	// Address is where the call comes from.
	Address netip.Addr
	// Lost is called, by another goroutine, where the end of the call could not be written; nil for nobody.
	Lost func()
	About
}

// Owner is whose memory the answer takes. An IPv6 client is its /64, which is what one client
// gets: by addresses it could be as many owners as it likes, and fill the memory of all.
func (c *Call) Owner() Digest {
	if c.Principal != "" {
		return sha256.Sum256([]byte("principal " + c.Principal))
	}
	address := c.Address.Unmap()
	if address.Is6() {
		network := address.As16()
		clear(network[8:])
		address = netip.AddrFrom16(network)
	}
	return sha256.Sum256([]byte("address " + address.String()))
}

// About says of a key what operators see.
type About struct {
	// Key is as the client sent it, Principal who that is, "" for nobody, and RPC the method
	// or route.
	Key, Principal, RPC string
}

// Store keeps what is known of keys. It is safe for concurrent use. Each is a keptkey.Store, too.
type Store interface {
	// Begin takes a key for a call; else it returns what is known of it. The error is a
	// gRPC status error.
	Begin(ctx context.Context, c *Call) (Lease, *Record, error)
	// Wait returns when the call under a key may have ended, true, or ctx has. kept is what
	// there is of it, nil where that is to be asked for by Begin.
	Wait(ctx context.Context, id Digest) (kept *Record, ok bool)
}

// Rememberer is a Store that says at once what is known of a key.
type Rememberer interface {
	Store
	// Known returns what is known; nil for nothing.
	Known(id Digest) *Record
}

// Lease is a key that a call has taken.
type Lease interface {
	// End keeps a record for ttl; nil frees the key. It is called once, and never fails: the
	// client has its answer in any case.
	End(kept *Record, ttl time.Duration)
}
