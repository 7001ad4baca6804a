// Package load makes the load of the benchmark with wrk and h2load, programs
// that cost far less than what they measure. It knows requests and counts; it
// reads no clocks and compares nothing.
//
//	done, err := load.Wrk(ctx, "http://127.0.0.1:8080", load.Request{Path: "/v1/items"}, load.Options{Time: time.Second})
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Request is what is sent, over and over.
type Request struct {
	// Method defaults to GET.
	Method string
	// Path starts with a slash and may have a query.
	Path string
	// Headers by name.
	Headers map[string]string
	// Body is sent as it is.
	Body []byte
	// Apart appends to the path of each request what no other one has, "-…". Wrk alone heeds it.
	Apart bool
	// ApartHeader names the header whose value gets that in place of the path. Wrk alone heeds it.
	ApartHeader string
}

// Options say how.
type Options struct {
	// Time is how long to send; whole seconds for wrk.
	Time time.Duration
	// Connections that send at the same time. Default: 32.
	Connections int
	// Streams are the requests under way on each HTTP/2 connection. Default: 1.
	Streams int
	// Requests to send in each second of Time, however long they take, where a
	// request is so long that those cut off at the end would count. H2load only.
	Requests int
	// HTTP1 makes H2load send over HTTP/1.1.
	HTTP1 bool
}

// seconds returns Time in whole seconds, at least one.
func (o Options) seconds() int {
	return max(1, int(o.Time.Round(time.Second)/time.Second))
}

func (o Options) connections() int {
	if o.Connections == 0 {
		return 32
	}
	return o.Connections
}

// patience is how long past its time a program may run.
const patience = 15 * time.Second

// Tool is Wrk or H2load: it sends requests to base ("http://host:port") and
// returns how many were answered with success. Any other answer is an error.
type Tool func(ctx context.Context, base string, r Request, o Options) (requests int64, err error)

// Missing returns the Debian packages of the programs among names that cannot be
// found; names are such as "wrk".
func Missing(names ...string) []string {
	packages := map[string]string{"wrk": "wrk", "h2load": "nghttp2-client", "nginx": "nginx-light"}
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(Path(name)); err != nil {
			missing = append(missing, packages[name])
		}
	}
	return missing
}

// Path returns where a program is: as it is called, or in the folder that
// Debian puts servers into and only root's PATH has.
func Path(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return filepath.Join("/usr/sbin", name)
	}
	return name
}

// run runs a program of this package and returns what it printed.
func run(ctx context.Context, o Options, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Time+patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// headerNames returns the names in a stable order.
func (r Request) headerNames() []string {
	var names []string
	for name := range r.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// inFile writes data to a file of its own, calls use with its path, and
// removes it.
func inFile(name string, data []byte, use func(path string) error) (err error) {
	dir, err := os.MkdirTemp("", "transom-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	return use(path)
}
