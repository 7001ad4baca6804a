package bookstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// SearchBooks returns the books for which all that the request says is true.
func (s *Server) SearchBooks(_ context.Context, r *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
	all, err := s.booksOf("")
	if err != nil {
		return nil, err
	}
	answer := &pb.SearchBooksResponse{CountByGenre: map[string]int32{}}
	for _, book := range all {
		if matches(book, r) {
			answer.Books = append(answer.Books, book)
			answer.CountByGenre[book.GetGenre().String()]++
		}
	}
	slices.SortFunc(answer.Books, func(a, b *pb.Book) int { return compareNames(a.GetName(), b.GetName()) })
	return answer, nil
}

func matches(book *pb.Book, r *pb.SearchBooksRequest) bool {
	for _, word := range strings.Fields(strings.ToLower(r.GetQuery())) {
		if !mentions(book, word) {
			return false
		}
	}
	if len(r.GetGenres()) > 0 && !slices.Contains(r.GetGenres(), book.GetGenre()) {
		return false
	}
	for name, value := range r.GetLabels() {
		if has, ok := book.GetLabels()[name]; !ok || has != value {
			return false
		}
	}
	if after := r.GetPublishedAfter(); after != nil && book.GetPublishTime().AsTime().Before(after.AsTime()) {
		return false
	}
	if r.InStock != nil && book.GetInStock() != r.GetInStock() {
		return false
	}
	return r.GetMaxPrice() == nil || atMost(book.GetPrice(), r.GetMaxPrice())
}

// mentions reports whether a lower-case word stands in the title, in an
// author's name or in a tag.
func mentions(book *pb.Book, word string) bool {
	in := func(text string) bool { return strings.Contains(strings.ToLower(text), word) }
	return in(book.GetTitle()) || slices.ContainsFunc(book.GetTags(), in) ||
		slices.ContainsFunc(book.GetAuthors(), func(a *pb.Author) bool { return in(a.GetDisplayName()) })
}

// atMost compares amounts of one currency; a book without a price in that
// currency is too dear.
func atMost(price, most *pb.Money) bool {
	if price == nil || price.GetCurrency() != most.GetCurrency() {
		return false
	}
	c := cmp.Or(cmp.Compare(price.GetUnits(), most.GetUnits()), cmp.Compare(price.GetNanos(), most.GetNanos()))
	return c <= 0
}
