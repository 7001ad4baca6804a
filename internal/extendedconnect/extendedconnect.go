// Package extendedconnect has net/http's HTTP/2 servers offer extended CONNECT,
// by which WebSockets are opened over HTTP/2 (RFC 8441). It does not know who
// answers them.
//
//	import _ "github.com/transom-gateway/transom/internal/extendedconnect"
//
// A server that offers it must be right about it: browsers then open WebSockets
// on the HTTP/2 connection that they have.
package extendedconnect

import (
	"os"
	"strings"
)

// setting is the switch's name in the environment variable GODEBUG. It is no
// setting that a //go:debug line may have.
const setting = "http2xconnect"

// net/http looks at the variable once, when it is initialised. That is later:
// the language has the first of the packages whose imports are ready go first,
// by import path, and "net/http" needs all that this one does.
func init() {
	now := os.Getenv("GODEBUG")
	switch {
	case strings.Contains(now, setting):
		return // who starts the program knows better
	case now != "":
		now += ","
	}
	_ = os.Setenv("GODEBUG", now+setting+"=1") // it fails on malformed names only
}
