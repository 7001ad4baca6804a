package resilient

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names are those of the stations.
var Names = []string{"north", "east", "west"}

// Fleet is the stations.
type Fleet []*Station

// NewFleet starts the stations.
func NewFleet(host string) (Fleet, error) {
	var f Fleet
	for _, name := range Names {
		s, err := NewStation(name, host)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f = append(f, s)
	}
	return f, nil
}

// Close ends all stations.
func (f Fleet) Close() (err error) {
	for _, s := range f {
		err = errors.Join(err, s.Become(Dead))
	}
	return err
}

// Station finds one by its name, nil for none.
func (f Fleet) Station(name string) *Station {
	i := slices.IndexFunc(f, func(s *Station) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return f[i]
}

// WriteAddresses writes the file that tells the gateway where the stations are, and
// returns its name.
func (f Fleet) WriteAddresses(folder string) (string, error) {
	var text strings.Builder
	for _, s := range f {
		fmt.Fprintf(&text, "- %s   # %s\n", s.Address(), s.Name)
	}
	name := filepath.Join(folder, "stations.yaml")
	return name, os.WriteFile(name, []byte(text.String()), 0o600)
}

// Tell changes how a station is, as in "east hanging".
func (f Fleet) Tell(name, state string) error {
	s := f.Station(name)
	switch {
	case s == nil:
		return fmt.Errorf("found %q, expected a station: %s", name, strings.Join(Names, ", "))
	case !slices.Contains(States, State(state)):
		return fmt.Errorf("found %q, expected a state: %v", state, States)
	}
	return s.Become(State(state))
}

// ServeHTTP has stations told how to be: POST /stations/east/hanging.
func (f Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stations/{name}/{state}", func(w http.ResponseWriter, r *http.Request) {
		if err := f.Tell(r.PathValue("name"), r.PathValue("state")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "%s is %s\n", r.PathValue("name"), r.PathValue("state")) // the client may be gone
	})
	mux.HandleFunc("GET /stations", func(w http.ResponseWriter, _ *http.Request) {
		for _, s := range f {
			_, _ = fmt.Fprintf(w, "%-6s %-8s %s  %d calls\n", s.Name, s.State(), s.Address(), s.Calls()) // as above
		}
	})
	mux.ServeHTTP(w, r)
}
