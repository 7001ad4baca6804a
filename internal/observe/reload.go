package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxPlaces bounds how many places of problems are shown as metrics.
const maxPlaces = 20

// Place is where in the input of a load a problem is. Line and Column count
// from 1 and are 0 where they are not known.
type Place struct {
	File         string
	Line, Column int
}

// reloadMetrics say how the last reload went.
type reloadMetrics struct {
	total    *prometheus.CounterVec
	worked   prometheus.Gauge
	success  prometheus.Gauge
	duration prometheus.Gauge
	problems *prometheus.GaugeVec
	not      *prometheus.GaugeVec
}

func newReloadMetrics(registry *prometheus.Registry) reloadMetrics {
	m := reloadMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "transom_reloads_total", Help: "Reloads, the first load among them, by result.",
		}, []string{"result"}),
		worked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "transom_reload_last_successful", Help: "1 if the last reload worked, 0 if it failed and the one before is in service.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "transom_reload_last_success_timestamp_seconds", Help: "When the last reload that worked ended, in seconds since 1970.",
		}),
		duration: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "transom_reload_last_duration_seconds", Help: "How long the last reload took, whether it worked or not.",
		}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "transom_reload_problems", Help: "Problems of the last reload, by place; the log says what they are.",
		}, []string{"file", "line", "column"}),
	}
	m.not = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "transom_not_reloaded", Help: "1 for a setting whose change takes effect at the next start alone, or could not be used.",
	}, []string{"setting"})
	m.total.WithLabelValues("success")
	m.total.WithLabelValues("failure")
	registry.MustRegister(m.total, m.worked, m.success, m.duration, m.problems, m.not)
	return m
}

// ReloadSucceeded counts a reload that began at the given time and ended now.
func (m *Metrics) ReloadSucceeded(began time.Time) {
	m.reload.total.WithLabelValues("success").Inc()
	m.reload.worked.Set(1)
	m.reload.success.SetToCurrentTime()
	m.reload.duration.Set(time.Since(began).Seconds())
	m.reload.problems.Reset()
}

// ReloadFailed counts a reload that began at the given time and failed now, and
// where its problems are.
func (m *Metrics) ReloadFailed(began time.Time, places ...Place) {
	m.reload.total.WithLabelValues("failure").Inc()
	m.reload.worked.Set(0)
	m.reload.duration.Set(time.Since(began).Seconds())
	m.reload.problems.Reset()
	for _, p := range places[:min(len(places), maxPlaces)] {
		m.reload.problems.WithLabelValues(valid(p.File), strconv.Itoa(p.Line), strconv.Itoa(p.Column)).Inc()
	}
}

// NotReloaded says whether the change of a setting is not in effect.
func (m *Metrics) NotReloaded(setting string, is bool) {
	if !is {
		m.reload.not.DeleteLabelValues(valid(setting))
		return
	}
	m.reload.not.WithLabelValues(valid(setting)).Set(1)
}
