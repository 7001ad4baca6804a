// Package sockets opens the sockets of a server: at addresses of TCP and of unix sockets,
// or those that came with the process, from systemd or from the process before it, by the
// protocol of LISTEN_FDS (sd_listen_fds(3)). It knows nothing of what is spoken over them.
//
//	set, err := sockets.Inherited()
//	l, err := set.Listen("l", "systemd:web", sockets.Options{})
//	set.Discard()               // those that nobody wants
//	names, files, err := set.Export() // for the next process
package sockets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Schemes of addresses that are none of TCP.
const (
	unixScheme    = "unix:"
	systemdScheme = "systemd:"
)

// OfSystemd is the name of a socket of systemd in an address.
func OfSystemd(address string) (name string, ok bool) {
	return strings.CutPrefix(address, systemdScheme)
}

// Set is the sockets of one process. It is safe for concurrent use.
type Set struct {
	mu sync.Mutex
	// given are those that came with the process and were not taken yet: of systemd by
	// their names, of the process before by their keys.
	given map[string][]*os.File
	// successor reports whether they are of the process before this one.
	successor bool
	opened    []opened
}

// opened is a socket that is in use.
type opened struct {
	key    string
	socket syscall.Conn
	file   *net.UnixListener // whose file is ours to remove; nil for none
}

// key is what the next process knows a socket by: what it is for, and its address in the
// configuration. Names of LISTEN_FDNAMES have no colons.
func key(use, address string) string { return use + "=" + url.QueryEscape(address) }

// Listen opens the socket of a listener, or takes the one that came with the process. use
// tells sockets of the same address apart, as ":0".
func (s *Set) Listen(use, address string, o Options) (net.Listener, error) {
	if l, err := s.takeListener(use, address); l != nil || err != nil {
		return l, err
	}
	network := "tcp"
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		network, address = "unix", path
	}
	l, err := o.listen(network, address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		address = unixScheme + address
	}
	s.add(key(use, address), l, true)
	return l, nil
}

// takeListener is the socket for an address that came with the process; nil for none.
func (s *Set) takeListener(use, address string) (net.Listener, error) {
	file, err := s.take(use, address, stream)
	if file == nil || err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the listener has a copy
	if option(file, accepts) == 0 {
		return nil, fmt.Errorf("%s: found a socket that takes no connections, expected one that listens: a .socket unit with Accept=no", address)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("%s: found a socket at which nobody can listen: %w", address, err)
	}
	s.add(key(use, address), l, strings.HasPrefix(address, unixScheme))
	return l, nil
}

// ListenPacket opens the UDP port of a listener's address, or takes the socket that came with
// the process.
func (s *Set) ListenPacket(use, address string, at *net.UDPAddr, o Options) (*net.UDPConn, error) {
	file, err := s.take(use, address, datagram)
	if err != nil {
		return nil, err
	}
	if file == nil {
		c := o.config()
		conn, err := c.ListenPacket(context.Background(), "udp", at.String())
		return s.addPackets(use, address, conn, err)
	}
	defer func() { _ = file.Close() }() // as above
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("%s: found a socket that is none of UDP: %w", address, err)
	}
	return s.addPackets(use, address, conn, nil)
}

// addPackets notes a socket of UDP that is in use.
func (s *Set) addPackets(use, address string, conn net.PacketConn, err error) (*net.UDPConn, error) {
	if err != nil {
		return nil, err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: found a datagram socket of %s, expected one of UDP", address, conn.LocalAddr().Network()), conn.Close())
	}
	s.add(key(use, address), udp, false)
	return udp, nil
}

// take takes what came with the process for an address, of a kind: SOCK_STREAM or SOCK_DGRAM. It
// returns nil where the socket is to be opened.
func (s *Set) take(use, address string, kind int) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, systemd := OfSystemd(address)
	if systemd && !s.successor {
		return s.takeOfSystemd(name, kind)
	}
	given := key(use, address)
	if files := s.given[given]; len(files) > 0 {
		s.given[given] = files[1:]
		return files[0], nil
	}
	if systemd {
		return nil, fmt.Errorf("found no socket of systemd by the name %q: the process before had none; restart the service to have systemd open it", name)
	}
	return nil, nil //nolint:nilnil // there is none, which is no error
}

// takeOfSystemd takes the first socket of a name and a kind.
func (s *Set) takeOfSystemd(name string, kind int) (*os.File, error) {
	for i, file := range s.given[name] {
		if option(file, kindOf) == kind {
			s.given[name] = slices.Delete(s.given[name], i, i+1)
			return file, nil
		}
	}
	wanted := "ListenStream"
	if kind == datagram {
		wanted = "ListenDatagram"
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.given)), func(name string) bool { return len(s.given[name]) == 0 })
	if len(names) == 0 {
		return nil, fmt.Errorf("found no socket of systemd left, expected one of %s by the name %q: is there a .socket unit with FileDescriptorName=%s, and did it start this process?", wanted, name, name)
	}
	return nil, fmt.Errorf("found no socket of %s by the name %q, but of %q: write FileDescriptorName=%s into the .socket unit", wanted, name, names, name)
}

// option is an option of a socket; 0 for what is none.
func option(file *os.File, which int) (value int) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // the file is open
		value, err = socketOption(fd, which)
	})
	if err != nil {
		return 0
	}
	return value
}

// add notes a socket that is in use. owner: its file is removed when it is closed.
func (s *Set) add(key string, socket any, owner bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := opened{key: key}
	o.socket, _ = socket.(syscall.Conn) // those of net are
	if l, ok := socket.(*net.UnixListener); ok && owner {
		l.SetUnlinkOnClose(true)
		o.file = l
	}
	s.opened = append(s.opened, o)
}

// Successor reports whether the process was started by one before it, whose sockets it takes.
func (s *Set) Successor() bool { return s.successor }

// Discard closes what came with the process and nobody took. It returns the names.
func (s *Set) Discard() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.given)) {
		for _, file := range s.given[name] {
			names = append(names, name)
			_ = file.Close() // nobody has used it
		}
	}
	clear(s.given)
	return names
}

// Export copies the sockets in use for the next process, and says by which names it knows
// them. The caller closes the files.
func (s *Set) Export() (names []string, files []*os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.opened {
		file, err := duplicate(o.socket)
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		if err != nil {
			for _, file := range files {
				_ = file.Close() // nobody has used it
			}
			return nil, nil, fmt.Errorf("a socket cannot be handed over: %w", err)
		}
		names, files = append(names, o.key), append(files, file)
	}
	return names, files, nil
}

// HandedOver has the files of unix sockets stay when their sockets are closed: they are the
// next process's.
func (s *Set) HandedOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.opened {
		if o.file != nil {
			o.file.SetUnlinkOnClose(false)
		}
	}
}

// duplicate copies the descriptor of a socket. The methods File of net would have exec set it
// to blocking, and with it the socket of this process.
func duplicate(c syscall.Conn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	err = raw.Control(func(of uintptr) { fd, failed = copyDescriptor(of) })
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil //nolint:gosec // a file descriptor
}
