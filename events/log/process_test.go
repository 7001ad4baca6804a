package log

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

var kills = flag.Int("kills", 5, "how many processes TestKilledProcess kills")

// childOf names the directory of the log for a child of a test.
const childOf = "TRANSOM_LOG_CHILD"

// TestMain is also the child that appends until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childOf); dir != "" {
		if err := appendForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// appendForever writes a line with offset and id for each record that was acknowledged.
func appendForever(dir string) error {
	o := small()
	o.SegmentBytes, o.MaxBytes = 64<<10, 64<<20
	l, err := Open(dir, o)
	if err != nil {
		return err
	}
	if _, err := l.Sink("slow"); err != nil {
		return err
	}
	begin := l.Stats().Next << 8 // no id of an earlier process
	failed := make(chan error)
	for i := range uint64(8) {
		go func() {
			for id := begin + i; ; id += 8 {
				offset, err := l.Append(context.Background(), body(id))
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %d\n", offset, id) // one write
			}
		}()
	}
	return <-failed
}

// Events 141, 142 and 143: of processes that are killed while they write, everything that
// was acknowledged is there.
func TestKilledProcess(t *testing.T) {
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	acked := map[uint64]uint64{}
	for range *kills {
		killAfter(t, dir, random.IntN(400), acked)
	}
	o := small()
	o.SegmentBytes, o.MaxBytes = 64<<10, 64<<20
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeTest(t, l)
	found := readAll(t, l)
	for offset, id := range acked {
		if got, ok := found[offset]; !ok || got != id {
			t.Errorf("record %d was acknowledged with offset %d; that holds %d (%t)", id, offset, got, ok)
		}
	}
	if s := l.Stats(); s.Damaged > 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d acknowledged, %d read", len(acked), len(found))
}

// killAfter kills a process after it has acknowledged n records, and notes those and what
// it acknowledges until it ends.
func killAfter(t *testing.T, dir string, n int, acked map[uint64]uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childOf+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		var offset, id uint64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &offset, &id); err == nil {
			acked[offset] = id
		}
		if i == n {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("it ended by itself")
	}
}

// Events 145: a file that may not grow is a full disk; when it may, the log goes on.
func TestFileSizeLimit(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	o := small()
	o.SegmentBytes = 64 << 10
	l, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeTest(t, l)
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limited := syscall.Rlimit{Cur: 32 << 10, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	var acked []uint64
	var failed error
	for id := uint64(0); failed == nil && id < 2000; id++ {
		if _, failed = l.Append(t.Context(), body(id)); failed == nil {
			acked = append(acked, id)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed, ErrFull) || !errors.Is(failed, syscall.EFBIG) {
		t.Errorf("got %v", failed)
	}
	poll.Until(t, "the log to take records again", func() bool { // no segment is begun for a moment
		_, err := l.Append(t.Context(), body(5000))
		return err == nil
	})
	found := readAll(t, l)
	for offset, id := range acked {
		if found[uint64(offset)] != id {
			t.Fatalf("offset %d holds record %d, want %d", offset, found[uint64(offset)], id)
		}
	}
}

// Events 143 and 146: one process has the directory, and nobody else can read it.
func TestLockAndModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "events")
	l, err := Open(dir, small())
	if err != nil {
		t.Fatal(err)
	}
	appendTest(t, l, 0, 1)
	if _, err := l.Sink("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, small()); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm() != map[bool]fs.FileMode{true: 0o700, false: 0o600}[entry.IsDir()] {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	closeTest(t, l)
	again, err := Open(dir, small())
	if err != nil {
		t.Fatal(err)
	}
	closeTest(t, again)
	if _, err := Open(filepath.Join(dir, "lock"), small()); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file for a directory: %v", err)
	}
}
