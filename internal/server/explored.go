package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
)

var _ admin.Explored = administered{}

// Explain implements admin.Explored.
func (a administered) Explain(r *http.Request, question []byte) (any, error) {
	var asked gateway.Asked
	decoder := json.NewDecoder(bytes.NewReader(question))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return nil, fmt.Errorf("the question: %w", err)
	}
	request, err := asked.Request(r.Context())
	if err != nil {
		return nil, err
	}
	return a.server.gateway.Explain(request), nil
}

// Detail implements admin.Explored.
func (a administered) Detail(rule string) any {
	if detail, ok := a.server.gateway.Detail(rule); ok {
		return detail
	}
	return nil
}

// Reloads implements admin.Explored.
func (a administered) Reloads() (list []admin.ReloadRecord) {
	for _, r := range a.server.gateway.Reloads() {
		list = append(list, admin.ReloadRecord{
			At: r.At.UTC(), TookMS: float64(r.Took.Microseconds()) / 1000, Generation: uint64(max(0, r.Generation)), ConfigSum: r.ConfigSum,
			Refused: r.Refused, Problems: adminProblems(r.Problems),
			Added: r.Change.Added, Removed: r.Change.Removed, Changed: r.Change.Changed, Counts: r.Counts,
		})
	}
	return list
}

// Symbols implements admin.Explored.
func (a administered) Symbols() []string { return a.server.gateway.Symbols() }

// Describe implements admin.Explored.
func (a administered) Describe(symbol string) (string, error) {
	return a.server.gateway.Describe(symbol)
}

// Configuration implements admin.Explored.
func (a administered) Configuration() any {
	lines := []config.Line{}
	if file := a.server.gateway.Config(); file != nil {
		lines = append(lines, file.Effective()...)
	}
	return map[string]any{"lines": lines}
}

// Started implements admin.Explored.
func (a administered) Started() time.Time { return a.server.started }

// History implements admin.Explored.
func (a administered) History() any {
	return struct {
		// Step is how many seconds a point stands for.
		Step   int                    `json:"step"`
		All    []observe.Point        `json:"all"`
		Routes []observe.RouteHistory `json:"routes"`
	}{int(observe.HistoryStep.Seconds()), a.server.history.All(), a.server.history.Busiest()}
}

// remember has the history go on until the server ends.
func (s *Server) remember() {
	ticks := time.NewTicker(observe.HistoryStep)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			s.history.Sample(now)
		case <-s.ended:
			return
		}
	}
}
