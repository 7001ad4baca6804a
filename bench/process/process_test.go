package process_test

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/bench/process"
)

func TestProcess(t *testing.T) {
	runtime.LockOSThread()
	// It computes for a moment, says so, and waits to be stopped.
	busy := exec.Command("sh", "-c", `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 60`)
	out, err := busy.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start("busy", busy)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	cpu, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if cpu <= 0 {
		t.Errorf("it computed for %v, want more than nothing", cpu)
	}
	if rss, err := p.Resident(); err != nil || rss < 1<<10 {
		t.Errorf("it holds %d bytes (%v)", rss, err)
	}
	if err := p.Err(); err != nil {
		t.Errorf("it runs, but Err says %v", err)
	}
	p.Stop()
	if p.Err() == nil {
		t.Error("it was stopped, but Err says nothing")
	}
	if _, err := p.CPU(); err == nil {
		t.Error("CPU of a process that is gone gives no error")
	}
}

func TestErrTellsTheLastWords(t *testing.T) {
	runtime.LockOSThread()
	p, err := process.Start("failing", exec.Command("sh", "-c", "echo no such luck >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "3") {
		t.Errorf("got %v", err)
	}
	p.Stop()
}
