// Package keptkey is what operators see of the keys of the policy idempotency_key, and do with
// them: it stands between where keys are kept and who shows them.
package keptkey

import (
	"context"
	"errors"
	"time"
)

// Key is what operators see of a key of the policy idempotency_key.
type Key struct {
	// ID names it, in hexadecimal digits.
	ID string
	// Key is as the client sent it, Principal who that was, "" for nobody, and RPC the method
	// or route.
	Key, Principal, RPC string
	// State is "in_flight", "unknown" or "answered".
	State string
	// Begun is when the call under it began.
	Begun time.Time
	// Ends is when it is forgotten; zero while its call is under way.
	Ends time.Time
}

// States of a Key.
const (
	InFlight = "in_flight"
	Unknown  = "unknown"
	Answered = "answered"
)

// Filter says which keys are meant: those that have each of its texts which is not empty.
type Filter struct {
	Key, Principal, RPC string
	// Read is what Key is where it is read as a header of a request is, such as abc for "abc"; "" for
	// what is no key. Keys that are it are meant, too.
	Read string
}

// Lists reports whether a key is listed: one that is meant, and was not answered. Where the filter
// names the client's key, one that was answered is listed too, or nobody would find its ID.
func (f *Filter) Lists(k *Key) bool { return f.takes(k) && (k.State != Answered || f.Key != "") }

// takes reports whether a key is meant.
func (f *Filter) takes(k *Key) bool {
	return (f.Key == "" || f.Key == k.Key || f.Read != "" && f.Read == k.Key) && (f.Principal == "" || f.Principal == k.Principal) && (f.RPC == "" || f.RPC == k.RPC)
}

// ErrNone is the error where there is no key of an ID, and ErrHeld that of one which is not
// released, as its outcome is known or will be.
var (
	ErrNone = errors.New("found no key with this id: its time may be over, or it was released. An id is what `transom keys list` shows, not the client's key; --key finds one by that")
	ErrHeld = errors.New("a call with the key is under way or was answered, and may be made twice if it is released: force it if that is right")
)

// Usage is how full a memory of keys is.
type Usage struct {
	// Bytes is what keys and their answers take, and Max its bound.
	Bytes, Max int64
	Keys       int
}

// Store is where keys are kept, as operators see it. It is safe for concurrent use.
type Store interface {
	// ListKeys lists the keys that the filter lists, about limit at a time.
	// after is the next of the call before, "" for the first; next is "" behind the last one.
	// A page may have no keys although others follow.
	ListKeys(ctx context.Context, f Filter, after string, limit int) (list []Key, next string, err error)
	// LookUpKey returns a key in any state, or ErrNone.
	LookUpKey(ctx context.Context, id string) (Key, error)
	// ReleaseKey forgets a key, so that the next call under it is made, and returns what it
	// was. One whose outcome is not unknown it forgets by force alone: see ErrHeld.
	ReleaseKey(ctx context.Context, id string, force bool) (Key, error)
}
