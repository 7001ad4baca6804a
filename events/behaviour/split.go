package behaviour

import (
	"errors"
	"strconv"
)

// These find the parts of a JSON text without looking at what they say: each part is read, and
// refused, by itself.

var (
	errArray  = errors.New("expected a JSON array of events")
	errObject = errors.New("expected a JSON object: an event, or {\"events\": […]}")
)

// elements gives the texts of an array's elements.
func elements(text []byte, element func([]byte)) error {
	i := space(text, 0)
	if i == len(text) || text[i] != '[' {
		return errArray
	}
	if i = space(text, i+1); i < len(text) && text[i] == ']' {
		return atEnd(text, i+1, errArray)
	}
	for {
		from := space(text, i)
		to := value(text, from)
		if to < 0 {
			return errArray
		}
		element(text[from:to])
		i = space(text, to)
		switch {
		case i < len(text) && text[i] == ',':
			i++
		case i < len(text) && text[i] == ']':
			return atEnd(text, i+1, errArray)
		default:
			return errArray
		}
	}
}

// members gives the names and the texts of an object's members.
func members(text []byte, member func(name string, value []byte)) error {
	i := space(text, 0)
	if i == len(text) || text[i] != '{' {
		return errObject
	}
	if i = space(text, i+1); i < len(text) && text[i] == '}' {
		return atEnd(text, i+1, errObject)
	}
	for {
		from := space(text, i)
		to := value(text, from)
		if to < 0 || text[from] != '"' {
			return errObject
		}
		name := nameOf(text[from:to])
		if i = space(text, to); i == len(text) || text[i] != ':' {
			return errObject
		}
		from = space(text, i+1)
		if to = value(text, from); to < 0 {
			return errObject
		}
		member(name, text[from:to])
		i = space(text, to)
		switch {
		case i < len(text) && text[i] == ',':
			i++
		case i < len(text) && text[i] == '}':
			return atEnd(text, i+1, errObject)
		default:
			return errObject
		}
	}
}

// nameOf is a name without its quotes; one with escapes that JSON alone knows is as it stands.
func nameOf(quoted []byte) string {
	if name, err := strconv.Unquote(string(quoted)); err == nil {
		return name
	}
	return string(quoted)
}

func atEnd(text []byte, i int, otherwise error) error {
	if space(text, i) != len(text) {
		return otherwise
	}
	return nil
}

// space is where the next text begins.
func space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// value is where a value ends that begins at i; -1 where it does not.
func value(text []byte, i int) int {
	if i >= len(text) {
		return -1
	}
	switch text[i] {
	case '"':
		return str(text, i)
	case '{', '[':
		return nested(text, i)
	}
	from := i
	for i < len(text) {
		switch text[i] {
		case ',', ']', '}', ':', ' ', '\t', '\n', '\r', '"', '{', '[':
			if i == from {
				return -1
			}
			return i
		}
		i++
	}
	return i
}

// str is where a string ends that begins at i.
func str(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// nested is where an object or array ends that begins at i.
func nested(text []byte, i int) int {
	for depth := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := str(text, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}
