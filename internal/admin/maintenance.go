package admin

import (
	"fmt"
	"net/http"
)

// Maintained is a Gateway whose maintenance is switched by hand.
type Maintained interface {
	// Maintenance lists the entries of the configuration, in the order in which they are to
	// be shown.
	Maintenance() []Maintenance
	// SetMaintenance switches an entry on or off until told otherwise; auto has it be as the
	// configuration says again.
	SetMaintenance(name, state string) error
}

// Maintenance is an entry as /maintenance shows it.
type Maintenance struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
	// Services are the gRPC services that it is for.
	Services []string `json:"services"`
}

// maintain adds the switches of maintenance (Traffic 207).
func (s *server) maintain() {
	g, ok := s.Gateway.(Maintained)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /maintenance", func(w http.ResponseWriter, _ *http.Request) {
		list := g.Maintenance()
		if list == nil {
			list = []Maintenance{}
		}
		answer(w, http.StatusOK, struct {
			Maintenance []Maintenance `json:"maintenance"`
		}{list})
	})
	s.mux.HandleFunc("POST /maintenance/{name}", func(w http.ResponseWriter, r *http.Request) {
		name, state := r.PathValue("name"), r.URL.Query().Get("state")
		err := errState("state", state, "on", "off", "auto")
		if err == nil {
			err = g.SetMaintenance(name, state)
		}
		s.wrote(r, "maintenance", fmt.Sprintf("name=%q state=%q", name, state), err)
		s.operated(w, err, "done")
	})
}
