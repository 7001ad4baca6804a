package config

import (
	"fmt"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// places holds where each value stands, by its path in proto names:
// "policies[0].policy.timeout", "upstreams.books.grpc".
type places map[string]place

type place struct{ line, column int }

// join makes a path longer by a field, a key or an index.
func join(path string, element any) string {
	switch e := element.(type) {
	case string:
		if path == "" {
			return e
		}
		return path + "." + e
	default:
		return fmt.Sprintf("%s[%d]", path, e)
	}
}

// parent is the path without its last element.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// Position gives the line and column, from 1, of a value, by the names of
// fields, keys of maps and indices of lists that lead to it: "policies", 0,
// "policy". A value that is not written down has the place of the nearest thing
// around it that is; 0, 0 without a file.
func (f *File) Position(path ...any) (line, column int) {
	whole := ""
	for _, element := range path {
		whole = join(whole, element)
	}
	p := f.place(whole)
	return p.line, p.column
}

// Where is Position as "file:line:column", by a path such as
// "auth.jwt[0].secret"; "" without a file.
func (f *File) Where(path string) string {
	p := f.place(path)
	if f.Path == "" || p.line == 0 {
		return f.Path
	}
	return fmt.Sprintf("%s:%d:%d", f.Path, p.line, p.column)
}

func (f *File) place(path string) place {
	for {
		if p, ok := f.places[path]; ok {
			return p
		}
		if path == "" {
			if f.Path == "" {
				return place{}
			}
			return place{1, 1}
		}
		path = parent(path)
	}
}

// problem makes a Problem of the value at path.
func (f *File) problem(path, format string, args ...any) Problem {
	f.wrong = append(f.wrong, path)
	message := fmt.Sprintf(format, args...)
	if flag, ok := f.flags[path]; ok {
		if flag != "" {
			message = flag + ": " + message
		}
		return Problem{Message: message}
	}
	p := f.place(path)
	if path != "" {
		message = path + ": " + message
	}
	return Problem{File: f.Path, Line: p.line, Column: p.column, Message: message}
}

// Written reports whether the file has a value at a path such as
// "metadata.request_headers", be it empty.
func (f *File) Written(path string) bool {
	_, ok := f.places[path]
	return ok
}

// Flag is the flag of the command line that a value comes from; "" for none.
func (f *File) Flag(path string) string { return f.flags[path] }

// Wrong lists the paths of the values that problems were found in, in no order,
// some more than once. A field that is not known stands there under the name that
// it may be meant for, if there is one.
func (f *File) Wrong() []string { return f.wrong }

// With is the file with another configuration in it, whose values stand where
// those of the same path stood.
func (f *File) With(config *transomv1.Config) *File {
	other := *f
	other.Config = config
	return &other
}
