package log

import (
	"errors"
	"strings"
	"testing"
)

// Events 142: Inspect reads a log without changing it, and says where it is damaged.
func TestInspect(t *testing.T) {
	fs, segments := damagedLog(t, 94)
	fs.names[segments[0]].data[headerPage+500] ^= 1
	fs.names[segments[1]].data[16] ^= 1
	fs.names["/log/cursors/two"] = &inode{data: []byte("x"), dirty: map[int64]bool{}}
	before := fs.calls
	var offsets []uint64
	report, err := inspect(fs, "/log", func(r Record) error {
		if id, ok := idOf(r.Body); !ok || id != r.Offset {
			t.Errorf("offset %d holds record %d (%t)", r.Offset, id, ok)
		}
		offsets = append(offsets, r.Offset)
		return nil
	})
	if err != nil || fs.calls != before {
		t.Fatalf("%v, %d changes", err, fs.calls-before)
	}
	if report.Records != 93 || len(offsets) != 93 || report.First != 0 || report.Next != 94 || report.Segments != len(segments) || report.Sinks["slow"] != 0 {
		t.Errorf("%+v", report)
	}
	problems := strings.Join(report.Problems, "\n")
	for _, want := range []string{segments[0] + ": bytes ", "had the records ", segments[1] + ": has a header that differs", "/cursors/two: has 1 bytes, not 24"} {
		if !strings.Contains(problems, want) || len(report.Problems) != 3 {
			t.Errorf("no %q in\n%s", want, problems)
		}
	}
	stop := errors.New("enough")
	if _, err := inspect(fs, "/log", func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := inspect(fs, "/elsewhere", nil); err == nil || !strings.Contains(err.Error(), "has no segments") {
		t.Errorf("of another directory: %v", err)
	}
}
