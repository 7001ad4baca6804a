package policytest

import (
	"errors"
	"testing"
	"time"

	"github.com/transom-gateway/transom/policy"
)

// WatchedCredential watches a credential and returns the channel that is told of its end.
func WatchedCredential(t *testing.T, c policy.Credential) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	t.Cleanup(c.Watch(func(err error) { ended <- err }))
	return ended
}

// WantEnd waits for the end of a watched credential.
func WantEnd(t *testing.T, ended <-chan error, what string) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, policy.ErrExpired) {
			t.Errorf("%s: it ended with %v", what, err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s: it did not end", what)
	}
}
