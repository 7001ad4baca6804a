package load

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// Interface guard.
var _ Tool = H2load

// H2load sends over cleartext HTTP/2, with prior knowledge, from one thread,
// or over HTTP/1.1.
// With a body it always sends POST. It judges by the HTTP status: whether a
// gRPC call succeeded stands in the trailers, which it does not look at.
func H2load(ctx context.Context, base string, r Request, o Options) (requests int64, err error) {
	args := []string{
		"-t1",
		"-c" + strconv.Itoa(o.connections()),
		"-m" + strconv.Itoa(max(1, o.Streams)),
	}
	if o.Requests > 0 {
		args = append(args, "-n"+strconv.Itoa(o.Requests*o.seconds()))
	} else {
		args = append(args, fmt.Sprintf("--duration=%d", o.seconds()))
	}
	if o.HTTP1 {
		args = append(args, "--h1")
	}
	for _, name := range r.headerNames() {
		args = append(args, "-H", name+": "+r.Headers[name])
	}
	once := func(args ...string) error {
		out, err := run(ctx, o, "h2load", append(args, base+r.Path)...)
		if err != nil {
			return err
		}
		requests, err = parseH2load(out)
		return err
	}
	if r.Body == nil {
		return requests, once(args...)
	}
	err = inFile("body", r.Body, func(path string) error {
		return once(append(args, "-d", path)...)
	})
	return requests, err
}

var h2loadRequests = regexp.MustCompile(
	`(?m)^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

// parseH2load reads h2load's report. Any failed request makes an error.
func parseH2load(report string) (int64, error) {
	m := h2loadRequests.FindStringSubmatch(report)
	if m == nil {
		return 0, fmt.Errorf("h2load's report has no line \"requests: …\":\n%s", report)
	}
	n, err := strconv.ParseInt(m[2], 10, 64)
	switch {
	case err != nil:
		return 0, err
	case m[3] != "0" || m[4] != "0" || m[5] != "0":
		return 0, fmt.Errorf("h2load: %s", m[0])
	case n == 0:
		return 0, fmt.Errorf("h2load had no answer at all:\n%s", report)
	}
	return n, nil
}
