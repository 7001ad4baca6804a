package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// TestEventsLog holds Surface 296: a log is verified and printed without a gateway, damaged or
// not, and is not changed by that.
func TestEventsLog(t *testing.T) {
	dir := t.TempDir()
	l, err := log.Open(filepath.Join(dir, "1"), log.Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second", "third"} {
		e := &events.Event{ID: id, Source: "/s", Type: "t", Time: time.Unix(1, 0), Topic: "topic", DataContentType: events.JSON, Data: []byte(`{"a":1}`)}
		if _, err := l.Append(t.Context(), events.AppendRecord(nil, e)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{dir, filepath.Join(dir, "1")} {
		code, out, said := command(t, "events", "log", "verify", at)
		if code != 0 || !strings.Contains(out, "3 records in 1 segments") {
			t.Errorf("verify %s: exit %d: %s%s", at, code, out, said)
		}
		code, out, said = command(t, "events", "log", "dump", at)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 3 || !strings.Contains(lines[1], `"id":"second"`) || !strings.Contains(lines[1], `"data":{"a":1}`) {
			t.Errorf("dump %s: exit %d: %s%s", at, code, out, said)
		}
	}
	damage(t, filepath.Join(dir, "1"), "second")
	before := folderSum(t, dir)
	code, out, _ := command(t, "events", "log", "verify", dir)
	if code != exitProblem || !strings.Contains(out, "2 records") {
		t.Errorf("a damaged log: exit %d: %s", code, out)
	}
	code, out, _ = command(t, "events", "log", "dump", dir)
	if code != 0 || strings.Contains(out, "second") || !strings.Contains(out, "third") {
		t.Errorf("a damaged log: exit %d: %s", code, out)
	}
	if folderSum(t, dir) != before {
		t.Error("the log was changed")
	}
}

// damage overwrites a text in the files of a folder.
func damage(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // a folder
		}
		if i := strings.Index(string(data), text); i >= 0 {
			data[i] = 'S'
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file has %q", text)
}

// folderSum is all that is in a folder.
func folderSum(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + strings.TrimRight(string(data), "\x00") + "\n")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEventsOfNoGateway says what is wrong.
func TestEventsOfNoGateway(t *testing.T) {
	for _, args := range [][]string{
		{"events", "tail", "--admin", "localhost:1"},
		{"events", "lag", "--admin", "localhost:1"},
		{"events", "rejected", "list", "--admin", "localhost:1"},
		{"events", "rejected", "retry", "a", "b", "--admin", "localhost:1"},
	} {
		if code, _, said := command(t, args...); code != exitProblem || !strings.Contains(said, "is --admin its address?") {
			t.Errorf("%v: exit %d, %s", args, code, said)
		}
	}
}
