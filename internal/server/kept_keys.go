package server

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
)

var _ admin.Keyed = administered{}

// Keys implements admin.Keyed.
func (a administered) Keys(ctx context.Context, q admin.KeyQuery) (list []admin.Key, next string, err error) {
	found, next, err := a.server.gateway.ListKeys(ctx, gateway.KeyFilter{Key: q.Key, Principal: q.Principal, RPC: q.RPC}, q.After, q.Limit)
	for i := range found {
		list = append(list, adminKey(&found[i]))
	}
	return list, next, keyError(err)
}

// Key implements admin.Keyed.
func (a administered) Key(ctx context.Context, id string) (admin.Key, error) {
	k, err := a.server.gateway.LookUpKey(ctx, id)
	return adminKey(&k), keyError(err)
}

// ReleaseKey implements admin.Keyed.
func (a administered) ReleaseKey(ctx context.Context, id string, force bool) (admin.Key, error) {
	k, err := a.server.gateway.ReleaseKey(ctx, id, force)
	return adminKey(&k), keyError(err)
}

// adminKey is a key as the admin listener shows it.
func adminKey(k *gateway.KeptKey) admin.Key {
	return admin.Key{ID: k.ID, Key: k.Key.Key, Principal: k.Principal, RPC: k.RPC, State: k.State, Begun: k.Begun.UTC(), Ends: k.Ends.UTC(), Store: k.Store}
}

// keyFailure is an error that is one of the admin listener's.
type keyFailure struct {
	error
	is error
}

// Is reports whether the error is another one, for errors.Is.
func (f keyFailure) Is(other error) bool { return other == f.is }

// keyError is an error as the admin listener knows it.
func keyError(err error) error {
	switch {
	case errors.Is(err, gateway.ErrNoKey):
		return keyFailure{err, admin.ErrNoKey}
	case errors.Is(err, gateway.ErrKeyHeld):
		return keyFailure{err, admin.ErrKeyHeld}
	}
	return err
}
