package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// rawSite starts a server whose connections are given to a function, and closed when it
// returns. It returns its address.
func rawSite(t testing.TB, handle func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() {
				handle(c, bufio.NewReader(c))
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// readRequest reads a request without a body and returns its target as it was sent.
func readRequest(r *bufio.Reader) (target string, ok bool) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", false
	}
	if _, err := textproto.NewReader(r).ReadMIMEHeader(); err != nil {
		return "", false
	}
	_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	target, _, ok = strings.Cut(rest, " ")
	return target, ok
}

// toyBackend is a server of plain HTTP that reads paths in ways of its own.
type toyBackend struct {
	readings func(path string) []string
	// secret are the subtrees that it has no guard of its own for.
	secret []string
}

const toySecret = "the page of the administrator"

// serve answers all requests with GET's answers.
func (b *toyBackend) serve(c net.Conn, r *bufio.Reader) {
	for {
		target, ok := readRequest(r)
		if !ok {
			return
		}
		body := "public " + target
		if reading, ok := b.leaks(target); ok {
			body = toySecret + ": " + target + " read as " + reading
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}

// leaks reports whether a target, by any reading, is of a secret subtree.
func (b *toyBackend) leaks(target string) (reading string, ok bool) {
	path, _, _ := strings.Cut(target, "?")
	for _, reading := range b.readings(path) {
		for _, secret := range b.secret {
			if reading == secret || strings.HasPrefix(reading, secret+"/") {
				return reading, true
			}
		}
	}
	return "", false
}

// decodingToy decodes a path twice, takes all slashes for slashes, and cuts at semicolons,
// in its segments or for good, before or after.
func decodingToy(path string) []string {
	decoded := toyDecode(toyDecode(path))
	slashes := func(s string) string { return strings.ReplaceAll(s, `\`, "/") }
	cutSegments := func(s string) string {
		segments := strings.Split(s, "/")
		for i, segment := range segments {
			segments[i], _, _ = strings.Cut(segment, ";")
		}
		return strings.Join(segments, "/")
	}
	cut := func(s string) string { s, _, _ = strings.Cut(s, ";"); return s }
	return []string{
		toyResolve(slashes(decoded)),
		toyResolve(cutSegments(slashes(decoded))),
		toyResolve(cut(slashes(decoded))),
		toyResolve(slashes(toyDecode(toyDecode(cutSegments(path))))),
		toyResolve(slashes(toyDecode(toyDecode(cut(path))))),
	}
}

// mergingToy decodes a path, merges its slashes, and resolves dot segments.
func mergingToy(path string) []string {
	decoded := toyDecode(path)
	return []string{toyResolve(toyMerge(decoded)), toyMerge(toyResolve(decoded))}
}

func toyDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func toyMerge(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// toyResolve resolves dot segments and stays at the root. Empty segments stay.
func toyResolve(s string) string {
	var kept []string
	for _, segment := range strings.Split(strings.TrimPrefix(s, "/"), "/") {
		switch segment {
		case ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// startToys starts both and returns the upstreams of a configuration.
func startToys(t testing.TB, secret ...string) (upstreams string) {
	t.Helper()
	decoding := &toyBackend{decodingToy, secret}
	merging := &toyBackend{mergingToy, secret}
	return fmt.Sprintf("decoding: { http: { servers: [%q] } }, merging: { http: { servers: [%q] } }",
		rawSite(t, decoding.serve), rawSite(t, merging.serve))
}
