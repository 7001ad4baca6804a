package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/nearest"
)

// caller is what `transom call` was asked to do.
type caller struct {
	input
	data    string
	headers []string
	timeout time.Duration
}

func newCall(s streams) *cobra.Command {
	var in caller
	c := &cobra.Command{
		Use:   "call PACKAGE.SERVICE/METHOD [FOLDER...]",
		Short: "Call a method with JSON, as a gateway would",
		Long: `Call sends JSON to a method and prints its answer as JSON, a message a line.
Streams are given as several JSON values, one after the other; -d @- reads them
from standard input as they come, -d @FILE from a file. With --upstream alone the
server's reflection says what its methods are.

With --config the policies of the method hold, and -H 'authorization: Bearer …'
is who calls. Without it the server is called as it is: nothing says then which
tokens are good.`,
		Example: `  transom call bookstore.v1.BookstoreService/GetBook -d '{"name":"shelves/1/books/2"}' --upstream localhost:50051`,
		Args:    takes(1, math.MaxInt, "a method, then folders"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && in.config == "" && len(in.descriptorSets) == 0 && in.upstream != "" {
				in.reflect = true
			}
			if err := in.check(args[1:]); err != nil {
				return err
			}
			in.unguarded = in.config == ""
			return in.run(c.Context(), s, args[0])
		},
	}
	in.flags(c)
	c.Flags().StringVarP(&in.data, "data", "d", "{}", "request as `JSON`, @FILE, or @- for standard input")
	c.Flags().StringArrayVarP(&in.headers, "header", "H", nil, "metadata to send, as `'name: value'`; may repeat")
	c.Flags().DurationVar(&in.timeout, "timeout", 0, "give up after this `time`, for example 3s")
	return c
}

func (in *caller) run(ctx context.Context, s streams, method string) error {
	body, err := in.body(s)
	if err != nil {
		return problem(err)
	}
	defer func() { _ = body.Close() }()
	if in.metadata, err = in.sent(); err != nil {
		return err
	}
	g, err := in.once(ctx, s, false)
	if err != nil {
		return err
	}
	defer g.Close()
	route, err := methodOf(g, method)
	if err != nil {
		return problem(err)
	}
	request, err := in.request(ctx, route, body)
	if err != nil {
		return err
	}
	answer := &terminal{out: s.out, header: http.Header{}, unblock: body.Close}
	answer.serve(g, request)
	return problem(unreached(g, route.Upstream, answer.finish()))
}

// unreached puts in place of a call's error why its upstream could not be reached, if
// that is so: who calls is who can mend it.
func unreached(g *gateway.Gateway, upstream string, err error) error {
	for _, u := range g.Upstreams() {
		if err != nil && u.Name == upstream && u.State == connectivity.TransientFailure.String() && u.Failure != "" {
			return fmt.Errorf("%s: the server cannot be reached: %s", u.Target, u.Failure)
		}
	}
	return err
}

// body opens what -d names. Closing it ends a read that waits.
func (in *caller) body(s streams) (io.ReadCloser, error) {
	name, isFile := strings.CutPrefix(in.data, "@")
	switch {
	case !isFile:
		if err := checkJSON(in.data); err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader(in.data)), nil
	case name != "-":
		return os.Open(name)
	}
	// Standard input cannot be interrupted; a pipe in front of it can.
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, s.in)
		_ = w.CloseWithError(err) // it never fails
	}()
	return r, nil
}

// checkJSON holds that -d is JSON: often it is the name of a file.
func checkJSON(data string) error {
	for d := json.NewDecoder(strings.NewReader(data)); ; {
		var value json.RawMessage
		err := d.Decode(&value)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			continue
		}
		if info, e := os.Stat(data); e == nil && info.Mode().IsRegular() {
			return fmt.Errorf("-d: found %q, expected JSON; for the file of that name write -d @%s", data, data)
		}
		return fmt.Errorf("-d: found %s, expected JSON such as '{\"name\": \"value\"}', @FILE, or @- for standard input: %w", clipped(data), err)
	}
}

// clipped is a text of the command line, quoted, for an error.
func clipped(text string) string {
	if len(text) > 80 {
		return fmt.Sprintf("%.80q…", text)
	}
	return strconv.Quote(text)
}

// methodOf finds a method by its full name, written with a slash or a dot.
func methodOf(g *gateway.Gateway, name string) (gateway.Listed, error) {
	want := strings.TrimPrefix(name, "/")
	if i := strings.LastIndexByte(want, '.'); !strings.Contains(want, "/") && i > 0 {
		want = want[:i] + "/" + want[i+1:]
	}
	var near, all []string
	for _, r := range g.Routes() {
		all = append(all, r.RPC)
		if r.RPC == want {
			return r, nil
		}
		if _, method, _ := strings.Cut(r.RPC, "/"); strings.EqualFold(method, want[strings.LastIndexByte(want, '/')+1:]) {
			near = append(near, r.RPC)
		}
	}
	if meant := nearest.Of(all, want); meant != "" {
		near = append(near, meant)
	}
	if len(near) > 0 {
		return gateway.Listed{}, fmt.Errorf("there is no method %s; did you mean %s?", name, near[0])
	}
	return gateway.Listed{}, fmt.Errorf("there is no method %s; `transom routes` lists them", name)
}

func (in *caller) request(ctx context.Context, route gateway.Listed, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://transom/"+route.RPC, body)
	if err != nil {
		return nil, err
	}
	request.RemoteAddr = "127.0.0.1:0"
	request.Header.Set("Content-Type", "application/json")
	if route.Stream != "unary" {
		request.Header.Set("Content-Type", contentTypeStream)
		request.Body = io.NopCloser(&envelopes{in: body, one: route.Stream == "server_streaming"})
	}
	for name, values := range in.metadata {
		for _, value := range values {
			addMetadata(request.Header, name, value)
		}
	}
	if in.timeout > 0 {
		request.Header.Set("X-Request-Timeout", fmt.Sprint(in.timeout.Seconds()))
	}
	return request, nil
}

// sent is the metadata that the flags name; values of binary ones are in base64.
func (in *caller) sent() (metadata.MD, error) {
	sent := metadata.MD{}
	for _, h := range in.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("-H %q: expected 'name: value'", h)
		}
		sent.Append(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return sent, nil
}

// addMetadata sends any metadata as it is. Policies look for credentials and keys in the
// headers; of these Authorization reaches the backend as well, the others do not in any case.
func addMetadata(h http.Header, name, value string) {
	name = http.CanonicalHeaderKey(name)
	if name == "Authorization" || name == "Cookie" || name == "Idempotency-Key" {
		h.Add(name, value)
	}
	if name != "Authorization" {
		h.Add("Grpc-Metadata-"+name, value)
	}
}
