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
	// are not empty, and returns how many it dropped.
	PurgeCache(rpc, tag, principal string) (int, error)
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
		dropped, err := 0, errPurge(query)
		if err == nil {
			dropped, err = g.PurgeCache(rpc, tag, principal)
		}
		s.wrote(r, "cache_purge", fmt.Sprintf("rpc=%q tag=%q principal=%q all=%q", rpc, tag, principal, query.Get("all")), err)
		s.operated(w, err, fmt.Sprintf("answers dropped: %d", dropped))
	})
}

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
