package heap

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

// tree is a folder of files, "path: first line" each.
func tree(text string) fstest.MapFS {
	files := fstest.MapFS{}
	for line := range strings.Lines(text) {
		if name, content, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			if before := files[name]; before != nil {
				content = string(before.Data) + content
			}
			files[name] = &fstest.MapFile{Data: []byte(content + "\n")}
		}
	}
	return files
}

// What machines and containers show of themselves.
const (
	v2 = `proc/self/mountinfo: 22 1 254:1 / / rw,relatime - ext4 /dev/root rw
		proc/self/mountinfo: 30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
	`
	v1 = `proc/self/mountinfo: 31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
		proc/self/mountinfo: 32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
	`
	docker1 = `proc/self/mountinfo: 32 30 0:28 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory
	`
)

// Semantics 304: the limit is the cgroup's, by version 1 and 2.
func TestCgroupMemory(t *testing.T) {
	for name, test := range map[string]struct {
		files string
		want  int64
	}{
		"nothing": {"", 0},
		"version 2, a container's own root": {v2 + `proc/self/cgroup: 0::/
			sys/fs/cgroup/memory.max: 536870912`, 536870912},
		"version 2, a service": {v2 + `proc/self/cgroup: 0::/system.slice/transom.service
			sys/fs/cgroup/system.slice/memory.max: max
			sys/fs/cgroup/system.slice/transom.service/memory.max: 268435456`, 268435456},
		"version 2, less above": {v2 + `proc/self/cgroup: 0::/a/b/c
			sys/fs/cgroup/a/memory.max: 1000
			sys/fs/cgroup/a/b/memory.max: 3000
			sys/fs/cgroup/a/b/c/memory.max: 2000`, 1000},
		"version 2, no limit": {v2 + `proc/self/cgroup: 0::/a
			sys/fs/cgroup/a/memory.max: max`, 0},
		"version 2, no such file": {v2 + `proc/self/cgroup: 0::/a`, 0},
		"version 2, outside of what is mounted": {`proc/self/mountinfo: 30 23 0:26 /pod/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw
			proc/self/cgroup: 0::/../y
			sys/fs/cgroup/memory.max: 5000`, 5000},
		"version 1": {v1 + `proc/self/cgroup: 5:cpu,cpuacct:/user
			proc/self/cgroup: 4:memory:/user
			sys/fs/cgroup/cpu,cpuacct/user/memory.limit_in_bytes: 7
			sys/fs/cgroup/memory/user/memory.limit_in_bytes: 134217728
			sys/fs/cgroup/memory/memory.limit_in_bytes: 9223372036854771712`, 134217728},
		"version 1, no limit": {v1 + `proc/self/cgroup: 4:memory:/
			sys/fs/cgroup/memory/memory.limit_in_bytes: 9223372036854771712`, 0},
		"version 1, a container without a namespace": {docker1 + `proc/self/cgroup: 4:memory:/docker/abc
			sys/fs/cgroup/memory/memory.limit_in_bytes: 4000`, 4000},
		"version 1, a group within the container": {docker1 + `proc/self/cgroup: 4:memory:/docker/abc/in
			sys/fs/cgroup/memory/memory.limit_in_bytes: 4000
			sys/fs/cgroup/memory/in/memory.limit_in_bytes: 3000`, 3000},
		"version 1, a name that begins alike": {docker1 + `proc/self/cgroup: 4:memory:/docker/abcd
			sys/fs/cgroup/memory/memory.limit_in_bytes: 4000
			sys/fs/cgroup/memory/d/memory.limit_in_bytes: 3000`, 4000},
		"both, memory by version 1": {v2 + v1 + `proc/self/cgroup: 4:memory:/user
			proc/self/cgroup: 0::/user
			sys/fs/cgroup/memory/user/memory.limit_in_bytes: 6000`, 6000},
		"garbage": {`proc/self/mountinfo: - cgroup2
			proc/self/mountinfo: 1 2 3 / /x - cgroup2 a b
			proc/self/cgroup: nonsense
			proc/self/cgroup: 0::
			x/memory.max: -1`, 0},
		"a limit that is no number": {v2 + `proc/self/cgroup: 0::/
			sys/fs/cgroup/memory.max: lots`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CgroupMemory(tree(test.files)); got != test.want {
				t.Errorf("found %d, want %d", got, test.want)
			}
		})
	}
}

// Semantics 304: the cgroup's memory but a tenth, in a small one more, unless GOMEMLIMIT is set.
func TestLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	of := func(memory int64) fstest.MapFS {
		return tree(fmt.Sprintf(v2+`proc/self/cgroup: 0::/
		sys/fs/cgroup/memory.max: %d`, memory))
	}
	machine := of(4_000_000_000)
	for memory, want := range map[int64]int64{4_000_000_000: 3_600_000_000, 512 << 20: 448 << 20, 256 << 20: 192 << 20, 100 << 20: 75 << 20} {
		if got := Limit(of(memory)); got != want || debug.SetMemoryLimit(-1) != got {
			t.Errorf("of %d bytes the limit is %d and Go's %d, want %d", memory, got, debug.SetMemoryLimit(-1), want)
		}
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if got := Limit(tree("")); got != 0 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Errorf("without a cgroup the limit is %d and Go's %d, want none", got, debug.SetMemoryLimit(-1))
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got := Limit(machine); got != 0 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Errorf("with GOMEMLIMIT the limit is %d and Go's was changed to %d", got, debug.SetMemoryLimit(-1))
	}
}

// This machine's own files are read without fault, whatever they say.
func TestCgroupMemoryHere(t *testing.T) {
	if got := CgroupMemory(os.DirFS("/")); got < 0 {
		t.Errorf("found %d", got)
	}
}

func FuzzCgroupMemory(f *testing.F) {
	f.Add("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "0::/a", "5")
	f.Add("32 30 0:28 /docker/abc /m ro - cgroup cgroup rw,memory", "4:memory:/docker/abc/../..", "max")
	f.Fuzz(func(t *testing.T, mountinfo, cgroup, limit string) {
		files := fstest.MapFS{
			"proc/self/mountinfo":       {Data: []byte(mountinfo)},
			"proc/self/cgroup":          {Data: []byte(cgroup)},
			"sys/fs/cgroup/memory.max":  {Data: []byte(limit)},
			"m/memory.limit_in_bytes":   {Data: []byte(limit)},
			"sys/fs/cgroup/a/otherwise": {},
		}
		if got := CgroupMemory(files); got < 0 || got >= unlimited {
			t.Errorf("found %d", got)
		}
	})
}
