package httprule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	lit := func(s string) Segment { return Segment{Kind: Literal, Text: s} }
	one, deep := Segment{Kind: Single}, Segment{Kind: Deep}
	tests := []struct {
		template string
		want     Template
	}{
		{"/", Template{}},
		{"/v1", Template{Segments: []Segment{lit("v1")}}},
		{"/v1/*/b", Template{Segments: []Segment{lit("v1"), one, lit("b")}}},
		{"/**", Template{Segments: []Segment{deep}}},
		{"/a/**/b", Template{Segments: []Segment{lit("a"), deep, lit("b")}}},
		{"/v1:go", Template{Segments: []Segment{lit("v1")}, Verb: "go"}},
		{"/a:b/c:d:e", Template{Segments: []Segment{lit("a:b"), lit("c:d")}, Verb: "e"}},
		{"/a%2Fb/%C3%BC/ü:x%3A", Template{Segments: []Segment{lit("a/b"), lit("ü"), lit("ü")}, Verb: "x:"}},
		{"/v1/{name}", Template{
			Segments:  []Segment{lit("v1"), one},
			Variables: []Variable{{FieldPath: "name", First: 1, Last: 1, Column: 6}},
		}},
		{"/{a.b_2.c=shelves/*}/{d=**}:go", Template{
			Segments: []Segment{lit("shelves"), one, deep},
			Variables: []Variable{
				{FieldPath: "a.b_2.c", First: 0, Last: 1, Multi: true, Column: 3},
				{FieldPath: "d", First: 2, Last: 2, Multi: true, Column: 23},
			},
			Verb: "go",
		}},
		{"/{name=operations}", Template{
			Segments:  []Segment{lit("operations")},
			Variables: []Variable{{FieldPath: "name", Constant: "operations", Column: 3}},
		}},
		{"/**/{x=a%2Fb/c:d}", Template{
			Segments:  []Segment{deep, lit("a/b"), lit("c:d")},
			Variables: []Variable{{FieldPath: "x", First: 1, Last: 2, Multi: true, Constant: "a%2Fb/c:d", Column: 6}},
		}},
	}
	for _, test := range tests {
		t.Run(test.template, func(t *testing.T) {
			got, err := Parse(test.template)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&test.want, got, cmpopts.IgnoreUnexported(Template{})); d != "" {
				t.Error(d)
			}
			if got.String() != test.template {
				t.Errorf("String() = %q", got)
			}
		})
	}
}

// Semantics 9: malformed templates are errors that name the place.
func TestParseRefuses(t *testing.T) {
	tests := []struct{ template, want string }{
		{"", `column 1: found the end, expected a slash`},
		{"v1", `column 1: found "v", expected a slash`},
		{"/a/", `column 4: found the end, expected a segment`},
		{"//", `column 2: found "/", expected a segment`},
		{"/a//b", `column 4: found "/", expected a segment`},
		{"/{}", `column 3: found "}", expected a field name`},
		{"/{a", `column 4: found the end, expected ".", "=" or "}"`},
		{"/{a.}", `column 5: found "}", expected a field name`},
		{"/{.a}", `column 3: found ".", expected a field name`},
		{"/{1}", `column 3: found "1", expected a field name`},
		{"/{a-b}", `column 4: found "-", expected ".", "=" or "}"`},
		{"/{a=}", `column 5: found "}", expected a segment`},
		{"/{x=/a}", `column 5: found "/", expected a segment`},
		{"/{x=a/}", `column 7: found "}", expected a segment`},
		{"/{x=a", `column 6: found the end, expected a closing brace`},
		{"/{a={b}}", `column 5: found a variable within a variable, expected a literal, * or **`},
		{"/{a}{b}", `column 5: found "{", expected a slash, a verb or the end`},
		{"/{a}b", `column 5: found "b", expected a slash, a verb or the end`},
		{"/a{b}", `column 3: found "{", expected a character of a path; others are written as %XX`},
		{"/{a}/{a}", `column 7: found a second variable "a", expected each field once`},
		{"/a}", `column 3: found "}", expected a slash, a verb or the end`},
		{"/**/*", `column 5: found a wildcard after **, expected literals only`},
		{"/**/**", `column 5: found a wildcard after **, expected literals only`},
		{"/**/{a}", `column 6: found a wildcard after **, expected literals only`},
		{"/{a=**/*}", `column 8: found a wildcard after **, expected literals only`},
		{"/***", `column 4: found "*", expected a slash, a verb or the end`},
		{"/a*", `column 3: found "*", expected a character of a path; others are written as %XX`},
		{"/a?b", `column 3: found "?", expected a character of a path; others are written as %XX`},
		{"/a b", `column 3: found " ", expected a character of a path; others are written as %XX`},
		{"/a\x00", `column 3: found "\x00", expected a character of a path; others are written as %XX`},
		{"/a%2", `column 3: found an incomplete escape, expected % and two hexadecimal digits`},
		{"/a\xff", `column 3: found a byte that is not UTF-8, expected UTF-8`},
		{"/a:", `column 4: found the end, expected a verb`},
		{"/:a", `column 2: found ":", expected a segment`},
		{"/{a}:b:c", `column 7: found ":", expected a slash, a verb or the end`},
		{"/{a}:b/c", `column 7: found "/", expected a slash, a verb or the end`},
		{"/" + strings.Repeat("a", maxTemplate), `found a template of 8193 bytes, expected at most 8192`},
	}
	for _, test := range tests {
		t.Run("Semantics 9: "+test.template, func(t *testing.T) {
			_, err := Parse(test.template)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}

// FuzzParse holds that no input makes Parse panic, and that what it accepts is
// a template by its own rules.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/", "/v1/{name=shelves/*/books/**}:go", "/a/**/{b=c%2Fd}", "/{a.b.c}/*", "/{x=/a}", "/a:b:c", "/%zz", "/{a}{b}", "//",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := Parse(text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Column < 1 || syntax.Column > len(text)+1 {
				t.Fatalf("%#v", err)
			}
			return
		}
		last := -1
		for _, v := range template.Variables {
			if v.First <= last || v.Last < v.First || v.Last >= len(template.Segments) {
				t.Fatalf("%q: variable %+v", text, v)
			}
			if !strings.HasPrefix(text[v.Column-1:], v.FieldPath) {
				t.Fatalf("%q: %+v is not at its column", text, v)
			}
			last = v.Last
		}
		tree := NewTree[int](Options{})
		if err := tree.Add("GET", template, 1); err != nil {
			t.Fatal(err)
		}
		var m Match
		if _, ok := tree.Match("GET", fill(template), &m); !ok {
			t.Fatalf("%q does not match %q", text, fill(template))
		}
	})
}

// fill makes a path that matches a template.
func fill(t *Template) string {
	var b strings.Builder
	for _, s := range t.Segments {
		b.WriteByte('/')
		switch s.Kind {
		case Literal:
			for i := range len(s.Text) {
				b.WriteString("%" + string("0123456789abcdef"[s.Text[i]>>4]) + string("0123456789ABCDEF"[s.Text[i]&15]))
			}
		case Single:
			b.WriteString("one")
		case Deep:
			b.WriteString("two/three")
		}
	}
	if len(t.Segments) == 0 {
		b.WriteByte('/')
	}
	if t.Verb != "" {
		b.WriteByte(':')
		for i := range len(t.Verb) {
			b.WriteString("%" + string("0123456789abcdef"[t.Verb[i]>>4]) + string("0123456789ABCDEF"[t.Verb[i]&15]))
		}
	}
	return b.String()
}
