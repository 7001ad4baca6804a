package cachecontrol

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Age reads the field Age: the first member of what may be a list by mistake, 0 for
// none and for one that is no number (RFC 9111 5.1).
func Age(lines []string) time.Duration {
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	age, _ := Seconds(strings.Trim(first, " \t"))
	return age
}

// Date reads a date of HTTP; the zero time for none, for several and for what is no date.
func Date(lines []string) time.Time {
	if len(lines) != 1 {
		return time.Time{}
	}
	date, err := http.ParseTime(lines[0])
	if err != nil {
		return time.Time{}
	}
	return date
}

// Lifetime is for how long an answer is fresh in a shared cache, from the moment it was
// made: by s-maxage, else by max-age, else from Date to Expires (RFC 9111 4.2.1). It
// never guesses: without any of these ok is false. expires are the lines of Expires; one
// that is no date means "expired already". A zero date counts as received, the moment at
// which the answer came.
func Lifetime(c *Control, expires []string, date, received time.Time) (lifetime time.Duration, ok bool) {
	switch {
	case c.Says(SharedMaxAge):
		return c.SharedMaxAge, true
	case c.Says(MaxAge):
		return c.MaxAge, true
	case len(expires) == 0:
		return 0, false
	}
	end := Date(expires)
	if end.IsZero() {
		return 0, true
	}
	if date.IsZero() {
		date = received
	}
	return min(max(end.Sub(date), 0), Most), true
}

// InitialAge is how old an answer was when it came (RFC 9111 4.2.3): by its Date, which
// may be zero, or by its Age and the time that it took, whichever is more.
func InitialAge(age time.Duration, date, sent, received time.Time) time.Duration {
	apparent := time.Duration(0)
	if !date.IsZero() {
		apparent = max(received.Sub(date), 0)
	}
	return min(max(apparent, age+min(max(received.Sub(sent), 0), Most)), Most)
}

// CurrentAge is how old an answer is now that was initial old when it was received.
func CurrentAge(initial time.Duration, received, now time.Time) time.Duration {
	return min(initial+min(max(now.Sub(received), 0), Most), Most)
}

// maxVary bounds how many fields an answer may vary by; an answer with more matches no
// request.
const maxVary = 32

// Vary appends the names in the lines of Vary to names, in lower case, sorted and each
// once. matchesNone reports a "*", or what cannot be told from it: what is no field's
// name, or too many of them. Such an answer matches no other request.
func Vary(names, lines []string) (all []string, matchesNone bool) {
	for _, line := range lines {
		if len(line) > maxLine {
			return names, true
		}
		for line != "" {
			var name string
			name, line, _ = strings.Cut(line, ",")
			name = strings.Trim(name, " \t")
			if name == "" {
				continue
			}
			if !httpguts.ValidHeaderFieldName(name) || name == "*" || len(names) >= maxVary {
				return names, true
			}
			names = insert(names, strings.ToLower(name))
		}
	}
	return names, false
}

func insert(names []string, name string) []string {
	i := len(names)
	for i > 0 && names[i-1] >= name {
		i--
	}
	if i < len(names) && names[i] == name {
		return names
	}
	names = append(names, "")
	copy(names[i+1:], names[i:])
	names[i] = name
	return names
}

// Normal appends what the lines of a request's field say to dst, so that those that say
// the same are equal: the lines joined by a comma, without white space at their ends and
// around commas (RFC 9111 4.1). An absent field and an empty one differ.
func Normal(dst []byte, lines []string) []byte {
	if len(lines) == 0 {
		return append(dst, 0)
	}
	for i, line := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		for more := true; more; {
			var member string
			member, line, more = nextMember(line)
			dst = append(dst, member...)
			if more {
				dst = append(dst, ',')
			}
		}
	}
	return dst
}

// StaleUntil says until when an answer whose freshness ends is given all the same: while a
// new one is fetched, and where that fails (RFC 5861). The times stand in for directives
// that it does not have; must-revalidate and proxy-revalidate forbid both.
func (c *Control) StaleUntil(fresh time.Time, whileRevalidate, ifError time.Duration) (whileUntil, errorUntil time.Time) {
	if c.Says(MustRevalidate | ProxyRevalidate) {
		return fresh, fresh
	}
	if c.Says(StaleWhileRevalidate) {
		whileRevalidate = c.StaleWhileRevalidate
	}
	if c.Says(StaleIfError) {
		ifError = c.StaleIfError
	}
	return fresh.Add(whileRevalidate), fresh.Add(ifError)
}
