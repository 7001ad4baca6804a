// Package http2xconnect has the HTTP/2 servers of a test binary offer extended
// CONNECT (RFC 8441), as GODEBUG=http2xconnect=1 does for the gateway. It does
// not know who answers it.
//
//	import _ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect"
package http2xconnect

import "os"

// net/http looks at the variable once, when it is initialised. That is later:
// the language has the first of the packages whose imports are ready go first,
// by import path, and "net/http" needs all that this one does.
func init() {
	_ = os.Setenv("GODEBUG", os.Getenv("GODEBUG")+",http2xconnect=1") // it fails on malformed names only
}
