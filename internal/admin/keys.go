package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Keyed is a Gateway whose idempotency keys are looked at, and released by hand.
type Keyed interface {
	// Keys lists the keys in flight and those whose outcome is unknown, as far as they have
	// the texts of the query which are not empty; where it has a Key, answered ones, too. next is for the query of the page behind, ""
	// for none; a page may be empty although others follow. The error is ErrNoKey where no method or route of the query can have any.
	Keys(ctx context.Context, q KeyQuery) (list []Key, next string, err error)
	// Key looks at one. The error is ErrNoKey where there is none.
	Key(ctx context.Context, id string) (Key, error)
	// ReleaseKey forgets one, so that the next call under it is made, and returns what it was.
	// One whose outcome is not unknown it forgets by force alone; else the error is ErrKeyHeld.
	ReleaseKey(ctx context.Context, id string, force bool) (Key, error)
}

// KeyQuery says which keys are meant.
type KeyQuery struct {
	Key, Principal, RPC string
	// After is the next of the page before, "" for the first.
	After string
	// Limit is about how many keys a page has.
	Limit int
}

// Key is an idempotency key as /keys shows it.
type Key struct {
	ID string `json:"id"`
	// Key is as the client sent it, Principal who that was.
	Key       string `json:"key"`
	Principal string `json:"principal,omitempty"`
	RPC       string `json:"rpc"`
	// State is in_flight, unknown or answered.
	State string    `json:"state"`
	Begun time.Time `json:"begun,omitzero"`
	// Ends is when it is forgotten; zero while its call is under way.
	Ends time.Time `json:"ends,omitzero"`
	// Store is memory or redis.
	Store string `json:"store"`
}

// Errors of a Keyed.
var (
	ErrNoKey   = errors.New("no such key")
	ErrKeyHeld = errors.New("the key is held")
)

// maxKeys bounds a page.
const maxKeys = 1000

// keys adds the keys of the policy idempotency_key (Traffic 90).
func (s *server) keys() {
	g, ok := s.Gateway.(Keyed)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		q, err := keyQuery(r.URL.Query())
		if err != nil {
			s.operated(w, err, "")
			return
		}
		list, next, err := g.Keys(r.Context(), q)
		if err != nil {
			keyFailed(w, err)
			return
		}
		if list == nil {
			list = []Key{}
		}
		answer(w, http.StatusOK, struct {
			Keys []Key  `json:"keys"`
			Next string `json:"next,omitempty"`
		}{list, next})
	})
	s.mux.HandleFunc("GET /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		var k Key
		err := errKeyID(r.PathValue("id"))
		if err == nil {
			k, err = g.Key(r.Context(), r.PathValue("id"))
		}
		if err != nil {
			keyFailed(w, err)
			return
		}
		answer(w, http.StatusOK, k)
	})
	s.mux.HandleFunc("POST /keys/{id}/release", func(w http.ResponseWriter, r *http.Request) {
		id, force := r.PathValue("id"), r.URL.Query().Get("force")
		var k Key
		err := errors.Join(errKeyID(id), errState("force", force, "", "true", "false"))
		if err == nil {
			k, err = g.ReleaseKey(r.Context(), id, force == "true")
		}
		s.wrote(r, "key_release", fmt.Sprintf("id=%q rpc=%q principal=%q key=%q state=%q force=%q", id, k.RPC, k.Principal, k.Key, k.State, force), err)
		if err != nil {
			keyFailed(w, err)
			return
		}
		text(w, http.StatusOK, "released\n")
	})
}

// errKeyID holds that an id may be one.
func errKeyID(id string) error {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != sha256.Size {
		return errUsage{fmt.Errorf("found %q, which is no id: expected 64 hexadecimal digits, as `transom keys list` shows them; list --key finds the id of a client's key", id)}
	}
	return nil
}

// keyFailed answers what could not be done with keys.
func keyFailed(w http.ResponseWriter, err error) {
	var usage errUsage
	switch {
	case errors.As(err, &usage):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrNoKey):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrKeyHeld):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// keyQuery reads what a list is to have.
func keyQuery(query url.Values) (KeyQuery, error) {
	q := KeyQuery{Limit: 100}
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return q, errUsage{fmt.Errorf("%s: expected one value", name)}
		}
		switch value := values[0]; name {
		case "key":
			q.Key = value
		case "principal":
			q.Principal = value
		case "rpc":
			q.RPC = rpcName(value)
		case "after":
			q.After = value
		case "limit":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > maxKeys {
				return q, errUsage{fmt.Errorf("limit: found %q, expected 1 to %d", value, maxKeys)}
			}
			q.Limit = n
		default:
			return q, errUsage{fmt.Errorf("found the parameter %q, expected key, principal, rpc, after or limit", name)}
		}
	}
	return q, nil
}
