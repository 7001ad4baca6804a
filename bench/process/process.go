// Package process starts the programs of the benchmark and reads what they
// cost. It knows processes, not what runs in them. It works on Linux only.
//
//	p, err := process.Start("nginx", exec.Command("nginx", "-c", file))
//	defer p.Stop()
//	before, err := p.CPU()
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a process may take to end by itself.
const grace = 5 * time.Second

// Process is a program that runs until it is stopped. Its methods may be
// called by several goroutines.
type Process struct {
	// Name is for messages.
	Name string

	cmd  *exec.Cmd
	logs *tail
	done chan struct{} // Closed once the process has ended.
	stop sync.Once
}

// Start starts a command whose Stderr is unset; the last lines of it are kept
// for Err. The process is killed by the system should the calling thread end
// first: call Start with the thread locked, or from the main goroutine.
func Start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, logs: &tail{}, done: make(chan struct{})}
	cmd.Stderr = p.logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // How it ended is told by Err.
	}()
	return p, nil
}

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended and what it said last; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%v):\n%s", p.Name, p.cmd.ProcessState, p.logs)
	default:
		return nil
	}
}

// Stop asks the process to end and, when it does not, kills it. It returns
// once the process is gone.
func (p *Process) Stop() {
	p.stop.Do(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
			return
		}
		select {
		case <-p.done:
		case <-time.After(grace):
			_ = p.cmd.Process.Kill()
		}
	})
	<-p.done
}

// CPU returns the time the process has computed, in user and system mode
// together, since its start. It is what utime and stime of /proc/PID/stat add
// up to, in nanoseconds and not in ticks of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	if err := p.Err(); err != nil {
		return 0, err
	}
	const processClock = 2 // CPUCLOCK_SCHED of a whole process, see clock_getcpuclockid(3).
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|processClock), &ts); err != nil {
		return 0, fmt.Errorf("reading the CPU clock of %s: %w", p.Name, err)
	}
	return time.Duration(ts.Nano()), nil
}

// Resident returns the memory of the process that is in RAM, in bytes.
func (p *Process) Resident() (int64, error) { return p.status("VmRSS") }

// Peak returns the most that Resident would have returned since the start, or
// since ForgetPeak.
func (p *Process) Peak() (int64, error) { return p.status("VmHWM") }

// ForgetPeak lets Peak begin anew.
func (p *Process) ForgetPeak() error {
	const resetPeak = "5" // proc(5)
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte(resetPeak), 0)
}

// status reads a size of /proc/PID/status.
func (p *Process) status(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status of %s has no %s", p.cmd.Process.Pid, p.Name, name)
}

// tail keeps the end of what is written to it: at least maxTail bytes, at most
// twice as many, so that a busy log is not moved with every line.
type tail struct {
	mu   sync.Mutex
	last []byte
}

// maxTail is how much is told, in bytes.
const maxTail = 8 << 10

// Write never fails.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, data...)
	if len(t.last) > 2*maxTail {
		t.last = append(t.last[:0], t.last[len(t.last)-maxTail:]...)
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last[max(0, len(t.last)-maxTail):])
}
