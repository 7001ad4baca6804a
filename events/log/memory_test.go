package log

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

var errCrashed = errors.New("the machine is off")

// memory is a file system that forgets, when the power is cut, what was not synced: any
// of the pages of a file, and the last of the changes of folders. A sync that fails marks
// pages as written that are not, as Linux does.
type memory struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode // names after the last SyncDir of their folders
	folders map[string]bool
	changes []change // since then
	locked  map[string]bool

	calls   int
	counts  map[string]int
	fail    func(op, name string, n int) error // n counts the calls of op
	crashAt int                                // the call from which on all fail; 0 for never
}

// change is one of a folder.
type change struct {
	name string
	node *inode // nil where it was removed
}

type inode struct {
	data  []byte
	disk  []byte
	dirty map[int64]bool // pages
}

func newMemory() *memory {
	return &memory{
		names: map[string]*inode{}, durable: map[string]*inode{}, folders: map[string]bool{},
		locked: map[string]bool{}, counts: map[string]int{},
	}
}

// call counts a call of something that changes the disk, and fails it where a test says.
func (m *memory) call(op, name string) error {
	m.calls++
	m.counts[op]++
	if m.crashAt > 0 && m.calls >= m.crashAt {
		return errCrashed
	}
	if m.fail != nil {
		return m.fail(op, name, m.counts[op])
	}
	return nil
}

func (m *memory) off() bool { return m.crashAt > 0 && m.calls >= m.crashAt }

func (m *memory) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.folders[name] {
		return nil
	}
	if err := m.call("mkdir", name); err != nil {
		return err
	}
	m.folders[name] = true
	return nil
}

func (m *memory) Create(name string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("create", name); err != nil {
		return nil, err
	}
	if m.names[name] != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	}
	node := &inode{dirty: map[int64]bool{}}
	m.set(name, node)
	return &memoryFile{m, node, name}, nil
}

func (m *memory) set(name string, node *inode) {
	if node == nil {
		delete(m.names, name)
	} else {
		m.names[name] = node
	}
	m.changes = append(m.changes, change{name, node})
}

func (m *memory) Open(name string, _ bool) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() {
		return nil, errCrashed
	}
	node := m.names[name]
	if node == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memoryFile{m, node, name}, nil
}

func (m *memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", from); err != nil {
		return err
	}
	node := m.names[from]
	if node == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	// One change: no cut leaves both names, or none.
	delete(m.names, from)
	m.names[to] = node
	m.changes = append(m.changes, change{from + "\x00" + to, node})
	return nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if err := m.call("remove", name); err != nil {
		return err
	}
	m.set(name, nil)
	return nil
}

func (m *memory) List(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() {
		return nil, errCrashed
	}
	var names []string
	for path := range m.names {
		if filepath.Dir(path) == name {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memory) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("syncdir", name); err != nil {
		return err
	}
	m.settle(len(m.changes)) // a journal is written in order
	return nil
}

// settle makes the first n changes durable.
func (m *memory) settle(n int) {
	for _, c := range m.changes[:n] {
		from, to, renamed := strings.Cut(c.name, "\x00")
		switch {
		case renamed:
			delete(m.durable, from)
			m.durable[to] = c.node
		case c.node == nil:
			delete(m.durable, from)
		default:
			m.durable[from] = c.node
		}
	}
	m.changes = m.changes[n:]
}

func (m *memory) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[name] {
		return nil, ErrLocked
	}
	m.locked[name] = true
	return unlock{m, name}, nil
}

type unlock struct {
	m    *memory
	name string
}

func (u unlock) Close() error {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	delete(u.m.locked, u.name)
	return nil
}

// cut is what the disk holds after the power was cut.
func (m *memory) cut(random *rand.Rand) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(random.IntN(len(m.changes) + 1))
	after := newMemory()
	after.folders = m.folders
	for name, node := range m.durable {
		data := slices.Clone(node.disk)
		if len(node.data) > len(data) && random.IntN(2) == 0 {
			data = append(data, make([]byte, len(node.data)-len(data))...)
		}
		for p := range node.dirty {
			if random.IntN(2) == 0 {
				copyPage(data, node.data, p)
			}
		}
		kept := &inode{data: data, disk: slices.Clone(data), dirty: map[int64]bool{}}
		after.names[name], after.durable[name] = kept, kept
	}
	return after
}

// killed is what a process finds after another was killed: all that it wrote, synced or
// not.
func (m *memory) killed() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashAt, m.fail, m.calls = 0, nil, 0
	m.counts, m.locked = map[string]int{}, map[string]bool{}
	return m
}

// clone is a copy of what is durable.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := newMemory()
	maps.Copy(after.folders, m.folders)
	for name, node := range m.durable {
		n := &inode{data: slices.Clone(node.disk), disk: slices.Clone(node.disk), dirty: map[int64]bool{}}
		after.names[name], after.durable[name] = n, n
	}
	return after
}

func copyPage(to, from []byte, p int64) {
	at := p * page
	if at >= int64(len(to)) || at >= int64(len(from)) {
		return
	}
	copy(to[at:], from[at:min(at+page, int64(len(from)))])
}

type memoryFile struct {
	m    *memory
	node *inode
	name string
}

func (f *memoryFile) ReadAt(b []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.off() {
		return 0, errCrashed
	}
	if f.m.fail != nil {
		if err := f.m.fail("read", f.name, int(at/page)); err != nil {
			return 0, err
		}
	}
	if at >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.m.call("write", f.name)
	n := len(b)
	if err != nil {
		n /= 2 // what a failed write leaves
		if f.m.calls > f.m.crashAt && f.m.crashAt > 0 {
			return 0, err
		}
	}
	if grown := at + int64(n) - int64(len(f.node.data)); grown > 0 {
		f.node.data = append(f.node.data, make([]byte, grown)...)
	}
	copy(f.node.data[at:], b[:n])
	for p := at / page; p <= (at+int64(n)-1)/page; p++ {
		f.node.dirty[p] = true
	}
	return n, err
}

func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.call("allocate", f.name); err != nil {
		return err
	}
	f.node.data = append(f.node.data, make([]byte, max(0, size-int64(len(f.node.data))))...)
	return nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.call("truncate", f.name); err != nil {
		return err
	}
	f.node.data = f.node.data[:size]
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.m.call("sync", f.name)
	if errors.Is(err, errCrashed) {
		return err
	}
	// The size is written either way; the pages only if it succeeds.
	disk := make([]byte, len(f.node.data))
	copy(disk, f.node.disk)
	if err == nil {
		for p := range f.node.dirty {
			copyPage(disk, f.node.data, p)
		}
	}
	f.node.disk = disk
	clear(f.node.dirty)
	return err
}

// failNth fails the n-th call of an operation.
func failNth(op string, n int, err error) func(string, string, int) error {
	return func(called, _ string, count int) error {
		if called == op && count == n {
			return err
		}
		return nil
	}
}
