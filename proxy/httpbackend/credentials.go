package httpbackend

import (
	"net/http"
)

// Credentials are what servers know us by. The zero Credentials are none.
type Credentials struct {
	// Basic is "user:password", Bearer a token. One of them is set.
	Basic, Bearer string
	// File says that the one set names a file that holds it.
	File bool
}

// credentials writes Authorization.
type credentials struct{}

func newCredentials(c Credentials) (*credentials, error) {
	return nil, nil
}

func (c *credentials) notReloaded() string { return "" }

// identify says who we are, in place of what the client may have said.
func (u *Upstream) identify(h http.Header) {
	_ = h
}
