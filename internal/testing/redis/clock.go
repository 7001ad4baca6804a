package redistest

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

//go:embed shim/clock.c
var shimSource []byte

// shim is the compiled library, made once for all servers of a test program.
var shim = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "shim")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, shimSource, 0o600); err != nil {
		return nil, err
	}
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	if said, err := exec.Command(compiler, "-shared", "-fPIC", "-O1", "-o", library, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the clock's library does not compile, for which these tests need a C compiler as the race detector does: %w\n%s", err, said)
	}
	return os.ReadFile(library)
})

// Clocks are what a Redis's clock may show, from the real time on. What a
// gateway decides with it is the same under each.
var Clocks = map[string]time.Duration{
	"right":        0,
	"a year ahead": 365 * 24 * time.Hour,
	"a day behind": -24 * time.Hour,
}

// StartWithClock runs a server as Start does, whose clock is off by so much.
func StartWithClock(t testing.TB, off time.Duration) *Server {
	t.Helper()
	r := newServer(t)
	library, err := shim()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(r.dir, "clock.so")
	if err := os.WriteFile(name, library, 0o700); err != nil {
		t.Fatal(err)
	}
	r.clock = filepath.Join(r.dir, "clock")
	r.environment = []string{"LD_PRELOAD=" + name, "REDISTEST_CLOCK=" + r.clock}
	r.Advance(off)
	r.Restart()
	return r
}

// Advance sets the clock of a server of StartWithClock forward, or back.
func (r *Server) Advance(d time.Duration) {
	r.t.Helper()
	if r.clock == "" {
		r.t.Fatal("this server has the machine's clock: start it by StartWithClock")
	}
	r.off += d
	file, err := os.OpenFile(r.clock, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	// In one write, in place: the server has the page mapped.
	if _, err := file.Write(binary.NativeEndian.AppendUint64(nil, uint64(r.off))); err != nil {
		r.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		r.t.Fatal(err)
	}
}
