package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/transom-gateway/transom/internal/gateway"
)

// TestTerminal has answers that come in pieces, fail or break off.
func TestTerminal(t *testing.T) {
	const messages = "\x00\x00\x00\x00\x07{\"a\":1}\x00\x00\x00\x00\x0c{\"error\":{}}"
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		abort             bool
		out, err          string
	}{
		"one message":                 {"application/json", "{}", 200, false, "{}\n", ""},
		"an error":                    {"application/json", `{"code":5}`, 404, false, "", `{"code":5}`},
		"an error without a body":     {"", "", 500, false, "", " "},
		"nothing":                     {"application/json", "", 200, false, "", ""},
		"messages":                    {contentTypeStream, messages + "\x02\x00\x00\x00\x02{}", 200, false, "{\"a\":1}\n{\"error\":{}}\n", ""},
		"an error after messages":     {contentTypeStream, messages + "\x02\x00\x00\x00\x1c{\"error\":{\"code\":\"aborted\"}}", 200, false, "{\"a\":1}\n{\"error\":{}}\n", `{"code":"aborted"}`},
		"an error of a stream alone":  {contentTypeStream, "\x02\x00\x00\x00\x1c{\"error\":{\"code\":\"aborted\"}}", 200, false, "", `{"code":"aborted"}`},
		"an end that is no JSON":      {contentTypeStream, "\x02\x00\x00\x00\x01{", 200, false, "", "broke off"},
		"a stream without an end":     {contentTypeStream, messages, 200, false, "{\"a\":1}\n{\"error\":{}}\n", "broke off"},
		"a download":                  {"text/plain", "data: x\n", 200, false, "data: x\n", ""},
		"a download that breaks off":  {"text/plain", "half", 200, true, "half\n", "broke off"},
		"a message that does not end": {contentTypeStream, "\x00\x00\x00\x00\x07{", 200, true, "", "broke off"},
		"no answer and the call ends": {"", "", 200, true, "", "broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 1000} {
				var out strings.Builder
				a := &terminal{out: &out, header: http.Header{}}
				a.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					w.WriteHeader(c.status)
					for rest := c.body; rest != ""; {
						n := min(piece, len(rest))
						if _, err := io.WriteString(w, rest[:n]); err != nil {
							t.Error(err)
						}
						rest = rest[n:]
					}
					if c.abort {
						panic(http.ErrAbortHandler)
					}
				}), httptest.NewRequest("POST", "/", nil))
				err := a.finish()
				if out.String() != c.out || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error()+" ", c.err) {
					t.Errorf("in pieces of %d: %q %v, want %q %q", piece, out.String(), err, c.out, c.err)
				}
			}
		})
	}
}

// TestCallSpeaksConnect: streams go as Connect's, so that their messages and errors have
// the form of unary calls'.
func TestCallSpeaksConnect(t *testing.T) {
	for stream, want := range map[string]string{
		"unary": "application/json", "client_streaming": contentTypeStream, "server_streaming": contentTypeStream, "bidi_streaming": contentTypeStream,
	} {
		request, err := new(caller).request(t.Context(), gateway.Listed{RPC: "a.B/C", Stream: stream}, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got := request.Header.Get("Content-Type"); got != want || request.Header.Get("Accept") != "" {
			t.Errorf("%s: sends %q and asks for %q, want %q and nothing", stream, got, request.Header.Get("Accept"), want)
		}
	}
}

// TestEnvelopes splits what is given to `transom call` into messages, however it comes.
func TestEnvelopes(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		in   io.Reader
		one  bool
		want []string
		err  error
	}{
		"nothing":              {strings.NewReader(" \n"), false, nil, nil},
		"nothing of one":       {strings.NewReader(" \n"), true, []string{"{}"}, nil},
		"one":                  {strings.NewReader("\n{\"a\": [1]} "), true, []string{`{"a": [1]}`}, nil},
		"some":                 {strings.NewReader("{}{\"a\":1}\n\n{}"), false, []string{"{}", `{"a":1}`, "{}"}, nil},
		"scalars":              {strings.NewReader("\"a\" 7 null"), false, []string{`"a"`, "7", "null"}, nil},
		"an array":             {strings.NewReader("[{\"a\":1}, {}]"), false, []string{`{"a":1}`, "{}"}, nil},
		"an empty array":       {strings.NewReader("[]"), false, nil, nil},
		"no JSON":              {strings.NewReader("{} {a}"), false, []string{"{}", " {a"}, nil},
		"an end inside":        {strings.NewReader("{} {"), false, []string{"{}", " {"}, nil},
		"an array's end":       {strings.NewReader("[{}"), false, []string{"{}", ""}, nil},
		"behind an array":      {strings.NewReader("[{}] 1"), false, []string{"{}", "1"}, nil},
		"no comma":             {strings.NewReader("[{} 1]"), false, []string{"{}", "1"}, nil},
		"an error":             {io.MultiReader(strings.NewReader("{}"), iotest.ErrReader(broken)), false, []string{"{}"}, broken},
		"an error at once":     {iotest.ErrReader(broken), true, nil, broken},
		"an error in a value":  {io.MultiReader(strings.NewReader("{} {"), iotest.ErrReader(broken)), false, []string{"{}"}, broken},
		"an error in an array": {io.MultiReader(strings.NewReader("[{}"), iotest.ErrReader(broken)), false, []string{"{}"}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := io.ReadAll(iotest.OneByteReader(&envelopes{in: iotest.OneByteReader(c.in), one: c.one}))
			var got []string
			for len(sent) >= envelopeHead {
				n := envelopeHead + int(binary.BigEndian.Uint32(sent[1:]))
				if sent[0] != 0 || n > len(sent) {
					t.Fatalf("%q", sent)
				}
				got, sent = append(got, string(sent[envelopeHead:n])), sent[n:]
			}
			if !slices.Equal(got, c.want) || !errors.Is(err, c.err) || len(sent) > 0 {
				t.Errorf("%q %v, %q is left; want %q %v", got, err, sent, c.want, c.err)
			}
		})
	}
}
