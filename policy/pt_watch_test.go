package policy

import (
	"errors"
	"testing"
	"time"
)

// watchedCredential watches a credential and returns the channel that is told of its end.
func watchedCredential(t *testing.T, c Credential) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	t.Cleanup(c.Watch(func(err error) { ended <- err }))
	return ended
}

func wantEnd(t *testing.T, ended <-chan error, what string) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrExpired) {
			t.Errorf("%s: it ended with %v", what, err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s: it did not end", what)
	}
}
