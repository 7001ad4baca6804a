package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// split returns the elements of a body, and the error that ended them if it is
// not the end.
func split(r io.Reader, limit int64) (values []string, err error) {
	e := newElements(r, limit)
	for {
		value, err := e.next()
		if err == io.EOF {
			return values, nil
		}
		if err != nil {
			return values, err
		}
		values = append(values, string(value))
	}
}

// reference splits with encoding/json; ok reports whether it is valid JSON.
func reference(body []byte) (values []string, ok bool) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil {
			return nil, false
		}
		for _, v := range list {
			values = append(values, string(v))
		}
		return values, true
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		var v json.RawMessage
		switch err := d.Decode(&v); err {
		case nil:
			values = append(values, string(v))
		case io.EOF:
			return values, true
		default:
			return nil, false
		}
	}
}

// FuzzElements compares with encoding/json: what is valid is split alike; what
// is not is refused here or, as one of the values, by their decoder.
func FuzzElements(f *testing.F) {
	for _, seed := range []string{
		"", " \n", "{}", "{}\n{}\n", `{"a":1}{"b":[2]}`, `[{"a":"]}"},{}]`, "[]", "[ ]", "[[1],[2]]", `"a""b"`, "1 2", "true\nfalse", `{"\\":"\""}`,
		"[1,]", "[,1]", "[1", "[1]2", "{", "{]", "}", "]", ",", "1,2", "[1 2]", `{"a"`, `"\`, "nul", "[[]]]", "\x00",
	} {
		f.Add([]byte(seed), uint8(64))
	}
	f.Fuzz(func(t *testing.T, body []byte, limit uint8) {
		values, err := split(bytes.NewReader(body), 1<<20)
		valid := err == nil
		for _, v := range values {
			if v == "" {
				t.Fatalf("an empty value of %q", body)
			}
			if !json.Valid([]byte(v)) {
				if glued, ok := reference([]byte(v)); ok && len(glued) > 1 {
					return // encoding/json takes 00 for two numbers
				}
				valid = false
			}
		}
		want, ok := reference(body)
		if ok != valid {
			t.Fatalf("%q: valid %t, encoding/json says %t (%v)", body, valid, ok, err)
		}
		if ok && !slices.Equal(values, want) {
			t.Fatalf("%q: %q, encoding/json says %q", body, values, want)
		}
		bytewise, err2 := split(iotest.OneByteReader(bytes.NewReader(body)), 1<<20)
		if !slices.Equal(values, bytewise) || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %q, byte by byte %q (%v, %v)", body, values, bytewise, err, err2)
		}
		small, _ := split(bytes.NewReader(body), int64(limit)+1)
		for _, v := range small {
			if len(v) > int(limit)+1 {
				t.Fatalf("%q: a value of %d bytes, the limit is %d", body, len(v), int(limit)+1)
			}
		}
	})
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestElementsLimit(t *testing.T) {
	for _, start := range []string{`"`, `{"a":"`, `[1,"`, "x"} {
		rest := &endless{}
		_, err := split(io.MultiReader(strings.NewReader(start), rest), 100_000)
		var own *rpcerror.StatusError
		if !errors.As(err, &own) || own.HTTP != 413 {
			t.Errorf("Semantics 21: %v", err)
		}
		if rest.read > 200_000 {
			t.Errorf("Semantics 21: %d bytes of a message were read, the limit is 100,000", rest.read)
		}
	}
	exact := `"` + strings.Repeat("x", 98) + `"`
	if values, err := split(strings.NewReader(exact+exact+" 1"), 100); err != nil || len(values) != 3 {
		t.Errorf("messages of exactly the limit: %d, %v", len(values), err)
	}
	if _, err := split(strings.NewReader(strings.Repeat(" ", 1<<20)+"{}"), 100); err != nil {
		t.Errorf("white space is no message: %v", err)
	}
}
