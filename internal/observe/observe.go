// Package observe is the gateway's logs, metrics and traces. It sees calls as a
// policy does, by policy.Request and policy.Outcome, and knows neither routing
// nor protocols nor reloads; what it should count of those it is told.
//
//	t, err := observe.Setup(config.GetTelemetry(), version, os.Stderr)
//	compiler, problems := policy.New(append([]policy.Kind{observe.Kind(t)}, kinds...), environment)
//
// Everything that a call needs is resolved when the schema loads: a call adds
// to counters it already holds and looks nothing up by name.
package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/transom-gateway/transom/internal/live"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Telemetry is what the process reports about itself. It lives as long as the
// process; reloads share it.
type Telemetry struct {
	// Log is the application log; never nil.
	Log *slog.Logger
	// Metrics holds all counters; never nil.
	Metrics *Metrics
	// Live tells those who watch of calls as they end.
	Live live.Hub

	access  *accessLog   // nil: no access log
	tracer  trace.Tracer // nil: no spans
	level   *slog.LevelVar
	closers []func(context.Context) error
}

// Setup builds the telemetry that the configuration asks for; nil asks for the
// defaults. Logs are written to w, one Write a line and nothing held back, so a
// crash loses no line. Spans are made only where the configuration or the
// standard OTEL_* environment variables name an endpoint to export to. An
// error names the setting and what was expected of it.
func Setup(config *transomv1.Telemetry, version string, w io.Writer) (*Telemetry, error) {
	t := &Telemetry{Metrics: NewMetrics(version), level: new(slog.LevelVar)}
	handler, access, err := newLogs(config.GetLog(), w, t.level)
	if err != nil {
		return nil, fmt.Errorf("telemetry.log: %w", err)
	}
	t.Log = slog.New(handler)
	if log := config.GetLog(); log == nil || log.Access == nil || log.GetAccess() {
		t.access = access
	}
	if err := t.setupTracing(config.GetOtlp(), version); err != nil {
		return nil, err
	}
	return t, nil
}

// Shutdown sends what is still to be exported, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c(ctx))
	}
	t.closers = nil
	return errors.Join(errs...)
}
