package heap

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// spare is the least that a cgroup's memory has beside what Go may use, in bytes, but at most a
// quarter of it. It is for what Go does not count, such as the program and kernel buffers, and
// for what is allocated while a collection runs: in a small cgroup a tenth is gone sooner.
const spare = 64 << 20

// unlimited is more than any machine has; cgroup v1 writes such a number where
// there is no limit.
const unlimited = 1 << 60

// Limit sets Go's soft limit of memory to what the process's cgroup may use but a tenth, or
// 64 MiB where that is more, or a quarter where that is less, and returns it; 0 where the cgroup has no limit or GOMEMLIMIT is set.
// root is the file system, os.DirFS("/"). It may be called again: limits change.
func Limit(root fs.FS) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	memory := CgroupMemory(root)
	if memory == 0 {
		return 0
	}
	limit := memory - max(memory/10, min(spare, memory/4))
	debug.SetMemoryLimit(limit)
	return limit
}

// CgroupMemory is the memory, in bytes, that the cgroup of this process and those
// above it let it use, the least of them, by version 2 or 1; 0 for no limit, or
// where none can be read.
func CgroupMemory(root fs.FS) int64 {
	groups := lines(root, "proc/self/cgroup")
	for _, mount := range lines(root, "proc/self/mountinfo") {
		m, ok := parseMount(mount)
		if !ok {
			continue
		}
		for _, group := range groups {
			if limit := m.limit(root, group); limit > 0 {
				return limit
			}
		}
	}
	return 0
}

// cgroupMount is where a hierarchy that counts memory is mounted.
type cgroupMount struct {
	// inner is the folder of the hierarchy that stands at point.
	inner, point string
	// file holds a cgroup's limit.
	file string
	// controller is what /proc/self/cgroup calls the hierarchy; version 2 has none.
	controller string
}

// parseMount reads a line of mountinfo (proc(5)): "36 35 98:0 /inner /point
// options - type source more".
func parseMount(line string) (cgroupMount, bool) {
	front, back, ok := strings.Cut(line, " - ")
	fields, kinds := strings.Fields(front), strings.Fields(back)
	if !ok || len(fields) < 5 || len(kinds) < 3 {
		return cgroupMount{}, false
	}
	m := cgroupMount{inner: fields[3], point: strings.TrimPrefix(path.Clean(fields[4]), "/")}
	switch {
	case kinds[0] == "cgroup2":
		m.file = "memory.max"
	case kinds[0] == "cgroup" && contains(kinds[2], "memory"):
		m.file, m.controller = "memory.limit_in_bytes", "memory"
	default:
		return cgroupMount{}, false
	}
	return m, true
}

// contains reports whether a name stands in a list with commas.
func contains(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == name {
			return true
		}
	}
	return false
}

// limit is the least limit from the cgroup of a line of /proc/self/cgroup,
// "number:controllers:/path", up to the mount's root.
func (m cgroupMount) limit(root fs.FS, line string) int64 {
	_, rest, _ := strings.Cut(line, ":")
	controllers, group, ok := strings.Cut(rest, ":")
	if !ok || controllers != m.controller && !contains(controllers, m.controller) {
		return 0
	}
	// A container sees its own cgroup as the mount's root, whatever it is called
	// outside, or has a path from there.
	if inner := strings.TrimSuffix(m.inner, "/"); group == inner || strings.HasPrefix(group, inner+"/") {
		group = group[len(inner):]
	} else {
		group = "/"
	}
	least := int64(0)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if found := readLimit(root, path.Join(m.point, group, m.file)); found > 0 && (least == 0 || found < least) {
			least = found
		}
		if group == "/" {
			return least
		}
	}
}

// readLimit reads one limit; 0 for none.
func readLimit(root fs.FS, name string) int64 {
	text := lines(root, name)
	if len(text) == 0 {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(text[0]), 10, 64) // "max" is none
	if err != nil || limit <= 0 || limit >= unlimited {
		return 0
	}
	return limit
}

// linesBytes bounds what is read of one of the kernel's files.
const linesBytes = 1 << 20

func lines(root fs.FS, name string) []string {
	file, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	var all []string
	for s := bufio.NewScanner(io.LimitReader(file, linesBytes)); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}
