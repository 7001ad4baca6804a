package stream

import (
	"strings"
	"testing"
)

// A short regular expression may stand for a program of many megabytes, which every client keeps, or
// which is made anew for each event.
func TestFiltersHaveSmallRegexps(t *testing.T) {
	t.Parallel()
	languages, err := newLanguages()
	if err != nil {
		t.Fatal(err)
	}
	for filter, refused := range map[string]bool{
		`event.type.matches('^user[.](click|view)$')`:                              false,
		`matches(event.subject, '[0-9a-f]{8}(-[0-9a-f]{4}){3}')`:                   false,
		`event.type.matches('` + strings.Repeat("a{1000}", 100) + `')`:             true,
		`event.type.matches('(((a{10}){10}){10}b){2,}')`:                           true,
		`event.type.matches('((((((x?){10}){10}|y)*){10}))')`:                      true,
		`matches('a', 'a{1000}a')`:                                                 true,
		`event.type.matches(event.type.replace('u', 'a{1000}'))`:                   true,
		`[1].exists(x, event.type.matches('a{' + '1000}'))`:                        true,
		`event.type.matches(event.data.pattern)`:                                   true,
		`['a{900}', 'b{900}'].exists(p, event.type.matches(p))`:                    true,
		`event.type == 'a' && (event.data.x ? 'a' : 'b').matches('[a-z]{900,}()')`: true,
		`event.type.matches('(')`:                                                  true,
	} {
		if _, err := compileFilter(languages.filter, filter); (err != nil) != refused {
			t.Errorf("%.80s: found the error %v, expected one: %t", filter, err, refused)
		}
	}
}
