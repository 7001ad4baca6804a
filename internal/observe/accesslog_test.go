package observe

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// compare writes one line by both and wants the same bytes.
func compare(t *testing.T, at time.Time, level slog.Level, route, rpc string, attrs []slog.Attr) {
	t.Helper()
	var own, reference bytes.Buffer
	handler := slog.NewJSONHandler(&reference, nil)
	log := &accessLog{handler: slog.NewJSONHandler(&own, nil), w: &own}
	log.of(route, rpc).write(at, level, attrs)
	record := slog.NewRecord(at, level, "request", 0)
	record.AddAttrs(attrs...)
	if err := handler.WithAttrs([]slog.Attr{slog.String("route", route), slog.String("rpc", rpc)}).Handle(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if own.String() != reference.String() {
		t.Errorf("the access log writes\n%s\nslog\n%s", &own, &reference)
	}
	if !json.Valid(own.Bytes()) || strings.Count(own.String(), "\n") != 1 {
		t.Errorf("not one line of JSON: %q", &own)
	}
}

// TestAccessLogIsSlogs: the access log in JSON writes what slog writes, byte for byte.
func TestAccessLogIsSlogs(t *testing.T) {
	zone := time.FixedZone("", -(3*60+30)*60)
	texts := []string{
		"", "-", "GET", "/v1/shelves/1", `a"b`, `a\b`, "two\nlines", "a\r\t\b\f\x00\x1fz", "\x7f", "é", "日本", "🙂", "\u2028\u2029", "<script>&",
		"\xff", "a\xc3", "\xed\xa0\x80", "\u202e", strings.Repeat("x", 9000), strings.Repeat("\x01", 3000),
	}
	for _, text := range texts {
		compare(t, time.Unix(1700000000, 123456789).UTC(), slog.LevelInfo, text, text, []slog.Attr{slog.String("path", text)})
	}
	for _, at := range []time.Time{time.Unix(0, 0).UTC(), time.Unix(1700000000, 120000000).In(zone), time.Unix(4000000000, 1).UTC()} {
		compare(t, at, slog.LevelWarn, "/a", "p.S/M", nil)
	}
	for _, f := range []float64{0, 0.001, 0.01, 1, 12.345, 999999.999, 86400000, 9e15} {
		compare(t, time.Unix(1, 0), slog.LevelInfo, "", "", []slog.Attr{slog.Float64("duration_ms", f)})
	}
	compare(t, time.Unix(1, 0), slog.LevelError, "/a", "p.S/M", []slog.Attr{
		slog.Int("status", 200), slog.Int64("request_bytes", -1), slog.Int64("response_bytes", 1<<62),
		slog.Bool("replayed", true), slog.Bool("key_passed", false),
	})
}

func FuzzAccessLog(f *testing.F) {
	for _, s := range []string{"", "/v1/books/1", "a\"b\\c\n", "\xff\xfe", "\u2028é"} {
		f.Add(s, int64(7), 0.25)
	}
	f.Fuzz(func(t *testing.T, text string, n int64, ms float64) {
		attrs := []slog.Attr{slog.String("path", text), slog.Int64("request_bytes", n)}
		if ms >= 0.001 && ms < 1e15 { // as durations are
			attrs = append(attrs, slog.Float64("duration_ms", ms))
		}
		compare(t, time.Unix(1700000000, n&0xffff).UTC(), slog.LevelInfo, text, "p.S/M", attrs)
	})
}

// TestLogsInTurn: lines of the application log and of calls that end side by side are written one
// after another, each by one Write.
func TestLogsInTurn(t *testing.T) {
	w := new(oneWriter)
	handler, access, err := newLogs(nil, w, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	route, log := access.of("/a", "p.S/M"), slog.New(handler)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				route.write(time.Unix(1, 0), slog.LevelInfo, []slog.Attr{slog.String("path", "/a")})
			}
		})
		all.Go(func() {
			for range 200 {
				log.Info("something else")
			}
		})
	}
	all.Wait()
	if w.lines != 1600 || w.broken != "" {
		t.Errorf("%d lines, broken: %q", w.lines, w.broken)
	}
}

// oneWriter has no lock, so that the race detector sees writes side by side.
type oneWriter struct {
	lines  int
	broken string
}

func (w *oneWriter) Write(p []byte) (int, error) {
	w.lines++
	if !json.Valid(p) || bytes.Count(p, []byte("\n")) != 1 {
		w.broken = string(p)
	}
	return len(p), nil
}
