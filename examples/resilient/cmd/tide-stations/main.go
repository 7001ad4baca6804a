// Command tide-stations runs the three stations of the example examples/resilient, a
// gateway in front of them, and clients who call all the time.
//
//	go run ./examples/resilient/cmd/tide-stations -gateway bin/transom           # make a station ill: type "east hanging"
//	go run ./examples/resilient/cmd/tide-stations -gateway bin/transom -story    # see them ill one after the other
//
// It exits with 1 where a client has seen an error.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/examples/internal/process"
	"github.com/transom-gateway/transom/examples/resilient"
)

func main() {
	var o options
	flag.StringVar(&o.gateway, "gateway", "bin/transom", "the transom `binary`")
	flag.StringVar(&o.config, "config", "examples/resilient/transom.yaml", "the gateway's configuration `file`")
	flag.StringVar(&o.host, "host", "127.0.0.1", "where the stations listen, each at a free port")
	flag.StringVar(&o.listen, "listen", "localhost:8080", "where the gateway listens, host:port")
	flag.StringVar(&o.admin, "admin", "127.0.0.1:9901", "its admin listener")
	flag.StringVar(&o.control, "control", "127.0.0.1:9911", "where stations are told how to be, by HTTP")
	flag.IntVar(&o.rate, "rate", 50, "calls a second, 1 to 1000")
	flag.BoolVar(&o.story, "story", false, "have the stations be ill one after the other, and end")
	flag.DurationVar(&o.each, "each", 6*time.Second, "how long each of them is ill in the story")
	flag.Parse()
	if o.rate < 1 || o.rate > 1000 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tide-stations:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	gateway, config, host, listen, admin, control string
	rate                                          int
	story                                         bool
	each                                          time.Duration
}

// run plays until ctx is done, the story is over, or the gateway ends.
func run(ctx context.Context, o options, in io.Reader, out io.Writer) error {
	fleet, err := resilient.NewFleet(o.host)
	if err != nil {
		return err
	}
	defer func() { _ = fleet.Close() }() // nobody calls any more
	folder, err := os.MkdirTemp("", "tide-stations-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is in the folder for such things
	addresses, err := fleet.WriteAddresses(folder)
	if err != nil {
		return err
	}
	control, err := listen(ctx, o.control, fleet)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }() // as above
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- process.Gateway{
			Binary: o.gateway, Args: []string{"--config", o.config, "--listen", o.listen, "--admin", o.admin}, Out: os.Stderr,
			Environment: []string{"TIDE_STATIONS=" + addresses},
		}.Run(ctx)
		cancel()
	}()
	err = play(ctx, o, fleet, in, out)
	cancel()
	return errors.Join(<-ended, err)
}

// listen has stations told how to be by HTTP.
func listen(ctx context.Context, address string, fleet resilient.Fleet) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: fleet, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // it says that it was closed
	return server, nil
}

// play has callers call until ctx is done or the story is over, and says what they saw.
func play(ctx context.Context, o options, fleet resilient.Fleet, in io.Reader, out io.Writer) error {
	callers := &resilient.Callers{URL: "http://" + o.listen, PerSecond: o.rate}
	if err := callers.Await(ctx); err != nil {
		return nil //nolint:nilerr // the gateway ended, which run tells of
	}
	calling, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { callers.Run(calling) })
	watch := &resilient.Watch{Callers: callers, Fleet: fleet, Admin: "http://" + o.admin, Out: out}
	work.Go(func() { watch.Run(calling) })
	var err error
	if o.story {
		err = resilient.Tell(ctx, fleet, o.each, out)
	} else {
		say(out, "Type a station (%s) and how it shall be %v, such as: east hanging\n", strings.Join(resilient.Names, ", "), resilient.States)
		go hear(fleet, in, out)
		<-ctx.Done()
	}
	stop()
	work.Wait()
	arrivals := int64(0)
	for _, s := range fleet {
		arrivals += s.Calls()
	}
	say(out, "%d calls, %d errors; %d attempts arrived at the stations\n", callers.Calls(), callers.Errors(), arrivals)
	if ctx.Err() == nil && callers.Errors() > 0 {
		err = errors.Join(err, fmt.Errorf("clients have seen errors, the last one: %s", callers.LastError()))
	}
	return err
}

// hear does what is typed until there is no more.
func hear(fleet resilient.Fleet, in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			say(out, "found %d words, expected two, such as: east hanging\n", len(words))
			continue
		}
		if err := fleet.Tell(words[0], words[1]); err != nil {
			say(out, "%v\n", err)
		}
	}
}

// say writes a line for the one who started us; whether they can read it is their
// business.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
