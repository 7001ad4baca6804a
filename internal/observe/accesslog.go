package observe

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// accessLog writes a line for each call of a route, as slog does. It makes lines of JSON by
// itself where no text in them needs escapes, as is usual: slog looks at every byte of every
// name and value by itself, which costs more than the rest of a call that the cache answers.
type accessLog struct {
	handler slog.Handler // decides by its level what is written, and writes all other lines
	w       io.Writer    // takes the lines of JSON; nil where the handler writes none
	named   []byte       // what all lines of JSON have, from the message to the RPC; nil where it needs escapes
}

// lineMessage is slog's msg.
const lineMessage = "request"

// of is the log for the calls of a route; nil for none.
func (l *accessLog) of(route, rpc string) *accessLog {
	if l == nil {
		return nil
	}
	names := []slog.Attr{slog.String("route", route), slog.String("rpc", rpc)}
	named, ok := appendMembers(nil, append([]slog.Attr{slog.String(slog.MessageKey, lineMessage)}, names...))
	if !ok {
		named = nil
	}
	return &accessLog{handler: l.handler.WithAttrs(names), w: l.w, named: named}
}

// enabled reports whether lines of a level are written.
func (l *accessLog) enabled(level slog.Level) bool {
	return l.handler.Enabled(context.Background(), level) // the handlers do not look at the context
}

// write writes a line. There is nobody to tell that it failed.
func (l *accessLog) write(at time.Time, level slog.Level, attrs []slog.Attr) {
	if l.w != nil && l.named != nil && l.writePlain(at, level, attrs) {
		return
	}
	record := slog.NewRecord(at, level, lineMessage, 0)
	record.AddAttrs(attrs...)
	_ = l.handler.Handle(context.Background(), record)
}

// writePlain writes a line in which nothing needs escapes; it returns false, having written
// nothing, for others.
func (l *accessLog) writePlain(at time.Time, level slog.Level, attrs []slog.Attr) bool {
	buffer := lines.Get().(*[]byte)
	line := (*buffer)[:0]
	line = append(line, `{"time":"`...)
	line = at.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"`...)
	line = append(line, level.String()...)
	line = append(line, '"')
	line, ok := appendMembers(append(line, l.named...), attrs)
	if ok {
		line = append(line, "}\n"...)
		_, _ = l.w.Write(line)
	}
	if cap(line) <= maxKeptLine {
		*buffer = line
		lines.Put(buffer)
	}
	return ok
}

// maxKeptLine bounds, in bytes, what is kept of a line for the next one. Usual lines have
// half a kilobyte.
const maxKeptLine = 8 << 10

var lines = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// appendMembers appends members behind others. It returns false where a text needs escapes
// or a value is of another kind than the access log has; names need none.
func appendMembers(dst []byte, attrs []slog.Attr) ([]byte, bool) {
	for i := range attrs {
		dst = append(dst, ',', '"')
		dst = append(dst, attrs[i].Key...)
		dst = append(dst, '"', ':')
		switch value := attrs[i].Value; value.Kind() {
		case slog.KindString:
			text := value.String()
			if !plain(text) {
				return dst, false
			}
			dst = append(dst, '"')
			dst = append(dst, text...)
			dst = append(dst, '"')
		case slog.KindInt64:
			dst = strconv.AppendInt(dst, value.Int64(), 10)
		case slog.KindFloat64: // a duration, which JSON writes without an exponent
			dst = strconv.AppendFloat(dst, value.Float64(), 'f', -1, 64)
		case slog.KindBool:
			dst = strconv.AppendBool(dst, value.Bool())
		default:
			return dst, false
		}
	}
	return dst, true
}

// plain reports whether a text stands in JSON as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// inTurn has the application log and the access log write a line each, one after another.
type inTurn struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *inTurn) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(line)
}
