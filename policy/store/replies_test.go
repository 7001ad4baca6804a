package store

import (
	"errors"
	"strings"
	"testing"
)

// TestReplies: what a server announces is bounded before go-redis takes memory for it,
// however its bytes are cut (Semantics 303).
func TestReplies(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		fails bool
	}{
		"plain":                 {"+OK\r\n:12\r\n$5\r\nhello\r\n$0\r\n\r\n$-1\r\n-ERR no\r\n", false},
		"lists":                 {"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n*-1\r\n%1\r\n+k\r\n#t\r\n_\r\n", false},
		"an attribute":          {"|1\r\n+ttl\r\n:3\r\n*1\r\n,1.5\r\n>1\r\n=5\r\ntxt:a\r\n", false},
		"a large string":        {"$8388608\r\n", false},
		"a larger one":          {"$8388609\r\n", true},
		"one that overflows":    {"$9223372036854775807\r\n", true},
		"a number too long":     {"$92233720368547758079999999999999999999999999\r\n", true},
		"a long list":           {"*65536\r\n", false},
		"a longer one":          {"*65537\r\n", true},
		"a map":                 {"%9223372036854775807\r\n", true},
		"less than nothing":     {"*-2\r\n", true},
		"streamed":              {"$?\r\n", true},
		"deep":                  {strings.Repeat("*1\r\n", maxNested), false},
		"deeper":                {strings.Repeat("*1\r\n", maxNested+1), true},
		"one after the other":   {strings.Repeat("*1\r\n:1\r\n", 1000), false},
		"a line without an end": {"+" + strings.Repeat("x", maxLine), true},
		"too much in all":       {"*3\r\n" + strings.Repeat("$8000000\r\n"+strings.Repeat("x", 8000000)+"\r\n", 3), true},
		"much, one by one":      {strings.Repeat("$8000000\r\n"+strings.Repeat("x", 8000000)+"\r\n", 3), false},
		"another protocol":      {"\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			steps := []int{len(test.text), 4096}
			if len(test.text) < 1<<20 {
				steps = append(steps, 1)
			}
			for _, step := range steps {
				r, err := new(replies), error(nil)
				for rest := test.text; rest != "" && err == nil; rest = rest[min(step, len(rest)):] {
					_, err = r.Write([]byte(rest[:min(step, len(rest))]))
				}
				if (err != nil) != test.fails || err != nil && !errors.Is(err, errReply) {
					t.Errorf("in steps of %d bytes: %v", step, err)
				}
			}
		})
	}
}

// FuzzReplies: however a reply is cut, it is judged alike, and little is kept of it.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "|1\r\n+a\r\n:1\r\n%1\r\n+k\r\n_\r\n", "$9223372036854775807\r\n", "*1\r\n*1\r\n*1\r\n"} {
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		whole, cut := new(replies), new(replies)
		_, want := whole.Write(data)
		var err error
		for rest := data; len(rest) > 0 && err == nil; {
			n := min(int(step)+1, len(rest))
			_, err = cut.Write(rest[:n])
			rest = rest[n:]
		}
		if (err != nil) != (want != nil) {
			t.Errorf("whole: %v, in pieces: %v", want, err)
		}
		if cap(cut.line) > 64 || len(cut.lists) > maxNested || cut.bulk > maxBulk+2 {
			t.Errorf("kept: %d bytes, %d lists, a string of %d", cap(cut.line), len(cut.lists), cut.bulk)
		}
	})
}
