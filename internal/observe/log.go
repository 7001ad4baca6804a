package observe

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// newLogs makes what the application log and the access log write to.
func newLogs(config *transomv1.Log, w io.Writer, level *slog.LevelVar) (slog.Handler, *accessLog, error) {
	l, err := levelOf(config.GetLevel())
	if err != nil {
		return nil, nil, err
	}
	level.Set(l)
	options := &slog.HandlerOptions{Level: level}
	format := config.GetFormat()
	if format == transomv1.Log_FORMAT_UNSPECIFIED {
		format = transomv1.Log_JSON
		if terminal(w) {
			format = transomv1.Log_TEXT
		}
	}
	switch format {
	case transomv1.Log_JSON:
		both := &inTurn{w: w}
		handler := slog.NewJSONHandler(both, options)
		return handler, &accessLog{handler: handler, w: both}, nil
	case transomv1.Log_TEXT:
		handler := slog.NewTextHandler(w, options)
		return handler, &accessLog{handler: handler}, nil
	}
	return nil, nil, fmt.Errorf("format %d is not known; expected JSON or TEXT", format)
}

// SetLevel changes how much is written from now on, for example on a reload.
// A level that is not known is an error and changes nothing.
func (t *Telemetry) SetLevel(level transomv1.Log_Level) error {
	l, err := levelOf(level)
	if err != nil {
		return fmt.Errorf("telemetry.log: %w", err)
	}
	t.level.Set(l)
	return nil
}

// Level is how much is written.
func (t *Telemetry) Level() slog.Level { return t.level.Level() }

func levelOf(level transomv1.Log_Level) (slog.Level, error) {
	switch level {
	case transomv1.Log_LEVEL_UNSPECIFIED, transomv1.Log_INFO:
		return slog.LevelInfo, nil
	case transomv1.Log_DEBUG:
		return slog.LevelDebug, nil
	case transomv1.Log_WARN:
		return slog.LevelWarn, nil
	case transomv1.Log_ERROR:
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("level %d is not known; expected DEBUG, INFO, WARN or ERROR", level)
}

// terminal reports whether a person reads w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || f.Name() == os.DevNull {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
