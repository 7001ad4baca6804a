package log

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
)

// maxQuarantine bounds what is kept of damaged pieces.
const maxQuarantine = 256 * mebibyte

// quarantine keeps copies of damaged pieces, and counts what was lost with them.
type quarantine struct {
	fs     filesystem
	dir    string
	logger *slog.Logger
	most   int64 // bytes that are kept

	mu      sync.Mutex
	known   []string // pieces that were told of
	records uint64
}

func (q *quarantine) lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records
}

// keep copies a piece of a segment aside and says so, once for each piece.
func (q *quarantine) keep(f file, s *segment, d damage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	name := fmt.Sprintf("%s.%d-%d", s.name, d.from, d.to)
	if slices.Contains(q.known, name) {
		return
	}
	q.known = append(q.known, name)
	q.records += d.next - d.first
	q.logger.Error("events log: damaged records are left out",
		"file", filepath.Join(filepath.Dir(q.dir), s.name), "from", d.from, "to", d.to,
		"first_offset", d.first, "records", d.next-d.first, "copy", filepath.Join(q.dir, name))
	if err := q.copy(f, name, d); err != nil {
		q.logger.Error("events log: damaged records cannot be copied aside", "copy", filepath.Join(q.dir, name), "error", err)
	}
}

func (q *quarantine) copy(from file, name string, d damage) error {
	if err := q.fs.MkdirAll(q.dir); err != nil {
		return err
	}
	names, err := q.fs.List(q.dir)
	if err != nil || slices.Contains(names, name) { // it was copied before
		return err
	}
	if size := q.size(names); size+d.to-d.from > q.most {
		return fmt.Errorf("there are %d bytes already, and %d are the most", size, q.most)
	}
	to, err := q.fs.Create(filepath.Join(q.dir, name))
	if err != nil {
		return err
	}
	err = copyDamaged(to, from, d)
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close(), q.fs.SyncDir(q.dir))
}

// copyDamaged copies what can be read.
func copyDamaged(to, from file, d damage) error {
	b := make([]byte, min(window, d.to-d.from))
	for at := d.from; at < d.to; at += int64(len(b)) {
		b = b[:min(int64(len(b)), d.to-at)]
		_ = readDamaged(from, b, at)
		if _, err := to.WriteAt(b, at-d.from); err != nil {
			return err
		}
	}
	return nil
}

// size is how much there is already.
func (q *quarantine) size(names []string) (sum int64) {
	for _, name := range names {
		f, err := q.fs.Open(filepath.Join(q.dir, name), false)
		if err != nil {
			continue
		}
		if size, err := f.Size(); err == nil {
			sum += size
		}
		_ = f.Close() // only read
	}
	return sum
}
