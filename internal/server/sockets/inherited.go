package sockets

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	// firstFD is the first descriptor that is handed over (SD_LISTEN_FDS_START).
	firstFD = 3
	// maxFDs is the most that are taken.
	maxFDs = 1024
	// predecessorVar is the variable by which a process says that it is the one before, by its
	// id: LISTEN_PID cannot be known before the process is there.
	predecessorVar = "TRANSOM_PREDECESSOR"
)

// Variables are those by which sockets are handed over. They are for one process, not for those
// that it starts.
var Variables = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", predecessorVar}

// Environment are the variables for a process that gets these descriptors from 3 on, by their
// names.
func Environment(names []string) []string {
	return []string{
		predecessorVar + "=" + strconv.Itoa(os.Getpid()),
		"LISTEN_FDS=" + strconv.Itoa(len(names)),
		"LISTEN_FDNAMES=" + strings.Join(names, ":"),
	}
}

// Inherited takes the sockets that came with the process, and removes the variables that
// say so. It is called once.
func Inherited() (*Set, error) {
	s, err := inherited(os.LookupEnv, firstFD)
	for _, name := range Variables {
		_ = os.Unsetenv(name) // it fails for names that nobody can have
	}
	return s, err
}

func inherited(lookup func(string) (string, bool), first int) (*Set, error) {
	s := &Set{given: map[string][]*os.File{}}
	count, ok := lookup("LISTEN_FDS")
	if !ok {
		return s, nil
	}
	before, ok := lookup(predecessorVar)
	s.successor = ok && isPredecessor(before)
	if pid, _ := lookup("LISTEN_PID"); !s.successor && pid != strconv.Itoa(os.Getpid()) {
		return s, nil // they are for another process
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil || n > maxFDs {
		return nil, fmt.Errorf("LISTEN_FDS: found %q, expected how many sockets come with this process, 0 to %d", count, maxFDs)
	}
	text, named := lookup("LISTEN_FDNAMES")
	names := strings.Split(text, ":")
	if named && len(names) != int(n) && n > 0 {
		return nil, fmt.Errorf("LISTEN_FDNAMES: found %d names, expected %d, as many as LISTEN_FDS says", len(names), n)
	}
	for i := range int(n) {
		name := "unknown" // as sd_listen_fds_with_names has it
		if named {
			name = names[i]
		}
		if err := takeDescriptor(first + i); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS: found %d, and the descriptor %d is not open: %w", n, first+i, err)
		}
		s.given[name] = append(s.given[name], os.NewFile(uintptr(first+i), name)) //nolint:gosec // a file descriptor
	}
	return s, nil
}

// isPredecessor reports whether a process is the one before this one: the parent, or one that was killed since
// it has started this one, whose sockets would be left to nobody.
func isPredecessor(id string) bool {
	pid, err := strconv.Atoi(id)
	return err == nil && pid > 0 && (pid == os.Getppid() || isGone(pid))
}

// Take takes a descriptor that came from the process before and is no socket; nil for none.
func (s *Set) Take(name string) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.given[name]
	if !s.successor || len(files) == 0 {
		return nil
	}
	s.given[name] = files[1:]
	return files[0]
}
