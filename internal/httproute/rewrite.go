package httproute

import "strings"

// Rewrite changes the path of a request on its way to the server (Traffic 138). The zero
// Rewrite changes nothing. Its fields are clean paths, as Check holds.
type Rewrite struct {
	// Path is the whole path.
	Path string
	// Strip is taken away from the front, by whole segments, and Add is put there. A path
	// that does not begin with Strip stays as it is.
	Strip, Add string
}

// Check says what is wrong with a path of a rewrite; "" for nothing.
func Check(path string) string {
	b := builder{}
	if b.path(0, "", path); len(b.problems) > 0 {
		return b.problems[0].Message
	}
	return ""
}

// Apply returns the path that the server gets for a clean one. It begins with one slash, and
// is clean.
func (r *Rewrite) Apply(path string) string {
	if r.Path != "" {
		return r.Path
	}
	if r.Strip == "" && r.Add == "" {
		return path
	}
	rest, ok := cutPrefix(path, r.Strip)
	if !ok {
		return path
	}
	return join(r.Add, rest)
}

// Back undoes Apply for a path that the server names, and says whether it could.
func (r *Rewrite) Back(path string) (string, bool) {
	if r.Path != "" {
		return path, false
	}
	rest, ok := cutPrefix(path, r.Add)
	if !ok {
		return path, false
	}
	return join(r.Strip, rest), true
}

// cutPrefix takes a prefix of whole segments away; the rest is empty or begins with a slash.
// The prefix's trailing slash means nothing.
func cutPrefix(path, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return rest, ok && (rest == "" || rest[0] == '/')
}

// slashLike are what URL parsers of browsers take for a slash, or drop.
const slashLike = "/\\\t\r\n"

// join puts a prefix in front of the rest of a path.
func join(prefix, rest string) string {
	prefix = strings.TrimSuffix(prefix, "/")
	switch {
	case prefix != "":
		return prefix + rest
	case rest == "":
		return "/"
	case len(rest) > 1 && strings.IndexByte(slashLike, rest[1]) >= 0: // two slashes at the front would begin a host
		return "/" + strings.TrimLeft(rest, slashLike)
	}
	return rest
}
