package websocket

import (
	"net/http"
	"strings"
)

const (
	deflateName = "permessage-deflate"
	// serverWindow is the one window that the library has.
	serverWindow = "server_max_window_bits=15"
)

// offering makes of a handshake one that offers the library what it keeps to: the first
// offer of permessage-deflate that is good, in its plainest form, or none. The library
// takes some that RFC 7692, 7.1, has declined. window reports whether the offer names
// the server's window, which the answer repeats.
func offering(r *http.Request) (offer *http.Request, window bool) {
	lines, ok := r.Header["Sec-Websocket-Extensions"]
	if !ok {
		return r, false
	}
	seen := *r
	seen.Header = r.Header.Clone()
	delete(seen.Header, "Sec-Websocket-Extensions")
	good, window := chooseOffer(strings.Join(lines, ","))
	if good {
		seen.Header["Sec-Websocket-Extensions"] = []string{deflateName}
	}
	return &seen, window
}

// chooseOffer looks for the first offer that can be kept to.
func chooseOffer(offers string) (good, window bool) {
	for more := true; more && !good; {
		var offer string
		offer, offers, more = cutUnquoted(offers, ',')
		name, params, parametrized := cutUnquoted(offer, ';')
		if strings.Trim(name, " \t") == deflateName {
			good, window = goodOffer(params, parametrized)
		}
	}
	return good, window
}

// goodOffer looks at the parameters of an offer, of which there may be none.
func goodOffer(params string, more bool) (good, window bool) {
	seen := map[string]bool{}
	for more {
		var param string
		param, params, more = cutUnquoted(params, ';')
		name, value, valued := strings.Cut(param, "=")
		name = strings.Trim(name, " \t")
		if seen[name] || !goodParam(name, strings.Trim(value, " \t"), valued) {
			return false, false
		}
		seen[name] = true
	}
	return true, seen["server_max_window_bits"]
}

// goodParam reports whether the library keeps to a parameter, which has a value or none.
// Quotes around a value are allowed and used by nobody: they are declined.
func goodParam(name, value string, valued bool) bool {
	switch name {
	case "client_no_context_takeover", "server_no_context_takeover":
		return !valued
	case "client_max_window_bits":
		// What fits a small window fits the largest.
		return !valued || goodWindow(value)
	case "server_max_window_bits":
		return valued && value == "15"
	}
	return false
}

// goodWindow takes 8 to 15, without leading zeros.
func goodWindow(value string) bool {
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

// cutUnquoted is strings.Cut for a separator that does not stand in quotes.
func cutUnquoted(list string, separator byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch {
		case quoted && list[i] == '\\':
			i++
		case list[i] == '"':
			quoted = !quoted
		case !quoted && list[i] == separator:
			return list[:i], list[i+1:], true
		}
	}
	return list, "", false
}
