package httpbackend

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/tlsfiles"
)

// Credentials are what servers know us by. The zero Credentials are none.
type Credentials struct {
	// Basic is "user:password" (RFC 7617), Bearer a token (RFC 6750). At most one is set.
	Basic, Bearer string
	// File says that the one that is set is the name of a file which holds it, and which is
	// read again when it changes.
	File bool
}

const (
	// maxCredentials bounds a file of credentials, in bytes.
	maxCredentials = 16 << 10
	// credentialsAge is how often such a file is looked at, at most.
	credentialsAge = int64(time.Second)
)

// credentials are the values of Authorization.
type credentials struct {
	fixed  []string                 // nil where there is a file
	kept   *tlsfiles.Kept[[]string] // of the file
	looked atomic.Int64             // when it was looked at last
}

// newCredentials reads the file; nil for none.
func newCredentials(c Credentials) (*credentials, error) {
	kind, text, value := "basic", c.Basic, basicValue
	switch {
	case c.Basic != "" && c.Bearer != "":
		return nil, errors.New("basic and bearer exclude each other; both are set")
	case c.Bearer != "":
		kind, text, value = "bearer", c.Bearer, bearerValue
	case c.Basic == "":
		return nil, nil
	}
	if !c.File {
		fixed, err := value(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		return &credentials{fixed: fixed}, nil
	}
	kept, err := tlsfiles.Keep([]string{text}, func() ([]string, error) {
		content, err := regularfile.Read(text, maxCredentials)
		if err != nil {
			return nil, err
		}
		values, err := value(strings.TrimRight(string(content), "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		return values, nil
	}, func([]string) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return &credentials{kept: kept}, nil
}

func basicValue(text string) ([]string, error) {
	if user, _, ok := strings.Cut(text, ":"); !ok || user == "" {
		return nil, errors.New("found no user and password; expected user:password")
	}
	return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(text))}, nil
}

func bearerValue(text string) ([]string, error) {
	if text == "" || strings.ContainsAny(text, " \t") || !httpguts.ValidHeaderFieldValue(text) {
		return nil, errors.New("found no token; expected one without white space and control characters")
	}
	return []string{"Bearer " + text}, nil
}

// values are those of Authorization now.
func (c *credentials) values() []string {
	if c.kept == nil {
		return c.fixed
	}
	if last, at := c.looked.Load(), now(); at-last >= credentialsAge && c.looked.CompareAndSwap(last, at) {
		return c.kept.Get()
	}
	return c.kept.Last()
}

// notReloaded says why the file is not in effect as it is now; "" where all is well.
func (c *credentials) notReloaded() string {
	if c == nil || c.kept == nil {
		return ""
	}
	if why := c.kept.Why(); why != "" {
		return "credentials: " + why
	}
	return ""
}

// identify says who we are, in place of what the client or anybody else has said.
func (u *Upstream) identify(h http.Header) {
	if u.own != nil {
		h["Authorization"] = u.own.values()
	}
}
