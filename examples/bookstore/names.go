package bookstore

import (
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The forms of resource names. An id is anything but empty and has no slash.
var (
	shelfName = regexp.MustCompile(`^shelves/[^/]+$`)
	bookName  = regexp.MustCompile(`^shelves/[^/]+/books/[^/]+$`)
)

// maxID bounds what a caller may name a resource, in bytes.
const maxID = 128

// checkShelfName returns InvalidArgument unless name has the form shelves/SHELF.
func checkShelfName(field, name string) error {
	if !shelfName.MatchString(name) {
		return status.Errorf(codes.InvalidArgument, "%s is %q, expected the form shelves/SHELF", field, name)
	}
	return nil
}

// checkBookName returns InvalidArgument unless name has the form
// shelves/SHELF/books/BOOK.
func checkBookName(field, name string) error {
	if !bookName.MatchString(name) {
		return status.Errorf(codes.InvalidArgument, "%s is %q, expected the form shelves/SHELF/books/BOOK", field, name)
	}
	return nil
}

// checkID returns InvalidArgument unless id can be the last part of a name.
func checkID(field, id string) error {
	if id == "" || len(id) > maxID || strings.Contains(id, "/") {
		return status.Errorf(codes.InvalidArgument, "%s is %q, expected 1 to %d bytes without a slash", field, id, maxID)
	}
	return nil
}

// parentOf returns the name of the shelf of a book whose name was checked.
func parentOf(book string) string {
	shelf, _, _ := strings.Cut(book, "/books/")
	return shelf
}

// idOf returns the last part of a name.
func idOf(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}

// nextID returns a number that no shelf or book bears yet. The caller holds
// the lock.
func (s *Server) nextID() string {
	s.lastID++
	return strconv.FormatInt(s.lastID, 10)
}
