package server

import (
	"github.com/transom-gateway/transom/internal/limituse"
	"github.com/transom-gateway/transom/internal/observe"
)

// RouteHistory implements admin.Explored.
func (a administered) RouteHistory(rule string) any {
	rpc, path, ok := a.server.gateway.Counted(rule)
	if !ok {
		return nil
	}
	return struct {
		// Step is how many seconds a point stands for.
		Step   int             `json:"step"`
		Points []observe.Point `json:"points"`
	}{int(observe.HistoryStep.Seconds()), a.server.history.Of(rpc, path)}
}

// Policies implements admin.Explored.
func (a administered) Policies() any {
	limits, total := a.server.gateway.LimitsUse()
	return struct {
		observe.PolicyState
		// Limits are the fullest of all, LimitsTotal how many there are.
		Limits      []*limituse.Limit `json:"limits"`
		LimitsTotal int               `json:"limits_total"`
	}{a.server.telemetry.Metrics.Policies(), append([]*limituse.Limit{}, limits...), total}
}
