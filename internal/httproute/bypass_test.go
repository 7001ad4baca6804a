package httproute

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

var bypassPaths = flag.Int("bypass-paths", 5_000, "how many paths with a route TestNoBypass tries")

// lax is a server that reads a path in a way of its own. These are written without any code
// of the package.
type lax struct {
	name string
	read func(target string) string
}

var laxServers = []lax{
	{"decodes once", func(s string) string { return normal(percentDecoded(s)) }},
	{"decodes twice", func(s string) string { return normal(percentDecoded(percentDecoded(s))) }},
	{"decodes thrice", func(s string) string { return normal(percentDecoded(percentDecoded(percentDecoded(s)))) }},
	{"resolves, decodes, resolves", func(s string) string { return normal(percentDecoded(normal(percentDecoded(normal(s))))) }},
	{"decodes each segment", func(s string) string {
		segments := strings.Split(normal(s), "/")
		for i := range segments {
			segments[i] = strings.ReplaceAll(percentDecoded(segments[i]), "/", "%2F")
		}
		return strings.Join(segments, "/")
	}},
	{"merges slashes", func(s string) string { return normal(merged(percentDecoded(s))) }},
	{"merges slashes of what it has resolved", func(s string) string { return merged(normal(percentDecoded(s))) }},
	{"backslashes as slashes", func(s string) string { return normal(merged(strings.ReplaceAll(percentDecoded(s), `\`, "/"))) }},
	{"raw backslashes as slashes", func(s string) string { return percentDecoded(normal(strings.ReplaceAll(s, `\`, "/"))) }},
	{"cuts segments at ;, then decodes", func(s string) string { return normal(percentDecoded(cutSegments(s))) }},
	{"decodes, then cuts segments at ;", func(s string) string { return normal(cutSegments(percentDecoded(s))) }},
	{"cuts segments at ;, decodes and merges", func(s string) string {
		return normal(merged(strings.ReplaceAll(percentDecoded(cutSegments(s)), `\`, "/")))
	}},
	{"cuts at ;", func(s string) string { return normal(percentDecoded(cutAt(s, ";"))) }},
	{"decodes and cuts at ;", func(s string) string { return normal(cutAt(percentDecoded(s), ";")) }},
	{"ends at NUL", func(s string) string { return normal(cutAt(percentDecoded(s), "\x00")) }},
	{"drops controls", func(s string) string {
		return normal(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, percentDecoded(s)))
	}},
	{"trims segments", func(s string) string {
		segments := strings.Split(percentDecoded(s), "/")
		for i := range segments {
			segments[i] = strings.Trim(segments[i], "\x00\t\n\r ")
		}
		return normal(strings.Join(segments, "/"))
	}},
	{"hands decoded paths on", func(s string) string {
		return normal(percentDecoded(cutAt(cutAt(merged(normal(percentDecoded(s))), "#"), "?")))
	}},
	{"parses a reference of a URL", func(s string) string {
		s = strings.ReplaceAll(s, `\`, "/")
		if strings.HasPrefix(s, "//") {
			s = strings.TrimLeft(s, "/")
			_, s, _ = strings.Cut(s, "/")
			s = "/" + s
		}
		return percentDecoded(normal(s))
	}},
	{"decodes, drops line breaks, and resolves", func(s string) string {
		return normal(strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(percentDecoded(s)))
	}},
	{"parses a reference as net/url", func(s string) string {
		u, err := url.Parse(s)
		if err != nil {
			return "" // it refuses
		}
		return normal(u.Path)
	}},
	{"takes UTF-8 that is too long", func(s string) string {
		return normal(strings.NewReplacer("\xc0\xae", ".", "\xc0\xaf", "/", "\xe0\x80\xaf", "/").Replace(percentDecoded(s)))
	}},
}

func cutAt(s, at string) string {
	s, _, _ = strings.Cut(s, at)
	return s
}

func cutSegments(s string) string {
	segments := strings.Split(s, "/")
	for i := range segments {
		segments[i] = cutAt(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

func merged(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// percentDecoded decodes once, and leaves what is no escape.
func percentDecoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// normal resolves dot segments, stays at the root, and keeps other segments and a slash at
// the end.
func normal(s string) string {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(s, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
			fallthrough
		case ".":
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// routeOf is the route that a lax server's path is one of, by comparing decoded paths.
func routeOf(matches []Match, path string) int {
	best, length := -1, -1
	for i, m := range matches {
		if m.Path != "" {
			if percentDecoded(m.Path) == path {
				return i
			}
			continue
		}
		prefix := strings.TrimSuffix(percentDecoded(m.Prefix), "/")
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(prefix) > length {
			best, length = i, len(prefix)
		}
	}
	return best
}

// refuses is the rule of Traffic 136.
func refuses(t *Table, route int, readings []string, ok bool) bool {
	return !ok || slices.ContainsFunc(readings, func(reading string) bool {
		other, ok := t.Find("", "GET", reading, nil, "")
		return !ok || other != route
	})
}

var hostileParts = []string{
	"/", "/", "/", "/", "//", "..", "..", ".", "%2e", "%2e%2e", "%2F", "%2f", "%5C", `\`, ";", ";x=y", ";/", "%3B", "/..;", "%252F", "%252e", "%252e%252e", "%255C", "%253B",
	"%25", "%00", "%2500", "%09", "%0A", "%20", "%0d", "%7F", "%C0%AF", "%C0%AE", "%25C0%25AF", "%E0%80%AF", "%3F", "%23", "%253F", "%61", "%2561", "%40", "%5B", "]", "|", "x", "/x", "/c/..",
}

var routedPaths = []string{"/", "/a", "/a/b", "/b", "/b/c", "/a/b/c", "/admin", "/a@b", "/x", "/a]/b", "/a%20b", "/c/", "/%C3%A9", "/a/x/b"}

// TestNoBypass pins Traffic 136: whichever way one of the lax servers, or two of them in a
// row, read what they get for a path that is let through, it is none of another route.
func TestNoBypass(t *testing.T) {
	const tables = 50
	random := rand.New(rand.NewPCG(136, 1))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	rewrites := []Rewrite{{}, {}, {Strip: "/a"}, {Strip: "/a", Add: "/x"}, {Add: "/v1/app"}, {Strip: "/a/b", Add: "/a"}}
	passed, refused := 0, 0
	for n := range tables {
		matches := []Match{{Prefix: "/"}}
		if n%3 == 0 {
			matches = []Match{{Prefix: "/a"}, {Path: "/admin"}}
		}
		for range 2 + random.IntN(6) {
			m := Match{Prefix: pick(routedPaths)}
			if random.IntN(3) == 0 {
				m = Match{Path: m.Prefix}
			}
			if _, problems := New(append(slices.Clone(matches), m)); len(problems) == 0 {
				matches = append(matches, m)
			}
		}
		built := table(t, matches...)
		rewrite := rewrites[n%len(rewrites)]
		for before := passed + refused; passed+refused < before+*bypassPaths/tables; {
			path := hostile(pick)
			clean, odd, err := Clean(path)
			if err != nil {
				continue
			}
			route, ok := built.Find("", "GET", clean, nil, "")
			if !ok {
				continue
			}
			if odd {
				readings, ok := rewrite.Readings(clean)
				if refuses(built, route, readings, ok) {
					refused++
					continue
				}
			}
			passed++
			if by, read := bypassed(&rewrite, matches, route, clean, random); by != "" {
				t.Fatalf("%+v: %q is of route %d, and is sent as %q; a server that %s reads %q, of another",
					matches, path, route, rewrite.Apply(clean), by, read)
			}
		}
	}
	t.Logf("%d paths passed, %d were refused", passed, refused)
	if passed < *bypassPaths/5 || refused < *bypassPaths/10 {
		t.Errorf("the paths are not what they should be")
	}
}

func hostile(pick func([]string) string) string {
	var b strings.Builder
	b.WriteString(pick([]string{"/", "/", "/a/", "/b", "/a/b", "//", "/x/"}))
	for range len(pick([]string{"1", "22", "333", "4444", "55555", "7777777"})) {
		b.WriteString(pick(hostileParts))
		b.WriteString(pick([]string{"", "", "/", "a", "b", "c", "admin", "/a", "/b"}))
	}
	return b.String()
}

// bypassed returns which servers read another route's path, and the path; "" for none.
func bypassed(rewrite *Rewrite, matches []Match, route int, clean string, random *rand.Rand) (by, read string) {
	sent := rewrite.Apply(clean)
	for _, server := range laxServers {
		second := laxServers[random.IntN(len(laxServers))]
		for _, test := range []lax{server, {fmt.Sprintf("%s, then %s", server.name, second.name), func(s string) string {
			if s = server.read(s); s == "" {
				return ""
			}
			return second.read(s)
		}}} {
			read := test.read(sent)
			if read == "" || read == sent {
				continue
			}
			asked, ok := read, true
			if sent != clean {
				asked, ok = rewrite.Back(read) // the path by which a client reaches it
			}
			if other := routeOf(matches, asked); !ok || other >= 0 && other != route {
				return test.name, read
			}
		}
	}
	return "", ""
}

// TestReadingsOfRewritten pins Traffic 136 for what a server gets: it must not be read as
// what the route cannot send, nor as what another one sends.
func TestReadingsOfRewritten(t *testing.T) {
	built := table(t, Match{Prefix: "/"}, Match{Prefix: "/foo"}, Match{Prefix: "/foo/admin"})
	for _, test := range []struct {
		rewrite Rewrite
		path    string
		refused bool
	}{
		{Rewrite{Add: "/app"}, "/..%2Fsecret", true},
		{Rewrite{Add: "/app"}, "/x/..%2Fsecret", false},
		{Rewrite{Strip: "/foo"}, `/foo/\host/admin`, false}, // the server gets /host/admin
		{Rewrite{Strip: "/foo"}, "/foo/%2Fhost/admin", true},
		{Rewrite{Strip: "/foo"}, "/foo/%2Fhost/public", false},
		{Rewrite{Strip: "/foo"}, "/foo/x;y/public", false},
		{Rewrite{Strip: "/foo", Add: "/a/b"}, "/foo/..%2F..%2Fx", true},
		{Rewrite{Path: "/one"}, "/foo/x//y", false},
	} {
		clean, _, err := Clean(test.path)
		if err != nil {
			t.Fatal(err)
		}
		route, _ := built.Find("", "GET", clean, nil, "")
		readings, ok := test.rewrite.Readings(clean)
		if got := refuses(built, route, readings, ok); got != test.refused {
			t.Errorf("%+v: %q refused: %t, want %t (%q)", test.rewrite, test.path, got, test.refused, readings)
		}
	}
}
