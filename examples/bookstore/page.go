package bookstore

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// named is anything with a resource name.
type named interface{ GetName() string }

// page sorts all by name and returns at most size of them that come after the
// one that token stands for, and the token of the next page, empty on the last.
func page[T named](all []T, size int32, token string) ([]T, string, error) {
	switch {
	case size < 0:
		return nil, "", status.Errorf(codes.InvalidArgument, "page_size is %d, expected 0 or more", size)
	case size == 0:
		size = defaultPageSize
	case size > maxPageSize:
		size = maxPageSize
	}
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, "", status.Errorf(codes.InvalidArgument, "page_token is %q, expected the next_page_token of a page before", token)
	}
	slices.SortFunc(all, func(a, b T) int { return compareNames(a.GetName(), b.GetName()) })
	if token != "" {
		from, found := slices.BinarySearchFunc(all, string(last), func(e T, name string) int {
			return compareNames(e.GetName(), name)
		})
		if found {
			from++
		}
		all = all[from:]
	}
	if len(all) <= int(size) {
		return all, "", nil
	}
	all = all[:size]
	next := base64.RawURLEncoding.EncodeToString([]byte(all[size-1].GetName()))
	return all, next, nil
}

// compareNames orders names so that shelves/2 comes before shelves/10: by
// shelf, then by last part, numbers by value and before words.
func compareNames(a, b string) int {
	if bookName.MatchString(a) && bookName.MatchString(b) {
		if c := compareNames(parentOf(a), parentOf(b)); c != 0 {
			return c
		}
	}
	return compareIDs(idOf(a), idOf(b))
}

func compareIDs(a, b string) int {
	m, errA := strconv.ParseInt(a, 10, 64)
	n, errB := strconv.ParseInt(b, 10, 64)
	switch {
	case errA == nil && errB == nil && m != n:
		return cmp.Compare(m, n)
	case errA == nil && errB != nil:
		return -1
	case errA != nil && errB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
