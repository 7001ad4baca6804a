package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Caching is a Gateway whose kept answers are dropped by hand.
type Caching interface {
	// PurgeCache drops the answers of an RPC, with a tag, and of a principal, as far as they
	// are not empty, and returns how many it dropped. told is false where the store could not be
	// reached by which other gateways learn of it: they are told when it can be.
	PurgeCache(rpc, tag, principal string) (dropped int, told bool, err error)
}

// purge adds POST /cache/purge (Traffic 128).
func (s *server) purge() {
	g, ok := s.Gateway.(Caching)
	if !ok {
		return
	}
	s.mux.HandleFunc("POST /cache/purge", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		rpc, tag, principal := rpcName(query.Get("rpc")), query.Get("tag"), query.Get("principal")
		dropped, told, err := 0, true, errPurge(query)
		if err == nil {
			dropped, told, err = g.PurgeCache(rpc, tag, principal)
		}
		what := fmt.Sprintf("rpc=%q tag=%q principal=%q all=%q", rpc, tag, principal, query.Get("all"))
		if err == nil && !told {
			what += " others=later"
		}
		s.wrote(r, "cache_purge", what, err)
		done := fmt.Sprintf("answers dropped: %d\n", dropped)
		if err == nil && !told {
			text(w, http.StatusAccepted, done+othersLater)
			return
		}
		s.operated(w, err, strings.TrimSpace(done))
	})
}

// othersLater stands behind the answer to a purge that other gateways may not know of: it is not done, but
// accepted.
const othersLater = "other gateways: not told yet, as stores.redis could not be used; this gateway tells them when it can be, and they give what they have until then. " +
	"Purge again if this gateway ends before\n"

// errPurge holds that a request says what to drop: a name that is misspelled must not drop
// everything.
func errPurge(query url.Values) error {
	for name, values := range query {
		switch name {
		case "rpc", "tag", "principal":
			if len(values) != 1 || values[0] == "" {
				return errUsage{fmt.Errorf("%s: expected one value", name)}
			}
		case "all":
			if len(query) > 1 || len(values) != 1 || values[0] != "true" {
				return errUsage{errors.New("all: expected all=true, and nothing beside it")}
			}
		default:
			return errUsage{fmt.Errorf("found the parameter %q, expected rpc, tag, principal or all=true", name)}
		}
	}
	if len(query) == 0 {
		return errUsage{errors.New("found nothing to drop, expected rpc, tag, principal or all=true")}
	}
	return nil
}

// rpcName is the name of a method or route as the log and the metrics have it. A method may be given
// as selectors of the configuration name it, package.Service.Method.
func rpcName(text string) string {
	if at := strings.LastIndexByte(text, '.'); at > 0 && !strings.Contains(text, "/") {
		return text[:at] + "/" + text[at+1:]
	}
	return text
}
