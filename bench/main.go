// Command bench runs Transom and its peers side by side on the same work and
// prints what each costs, as a table. It judges nothing but answers that
// differ and, with -strict, goals that were missed. See README.md.
//
//	cd bench && go run . -only get-small
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/bench/load"
	"github.com/transom-gateway/transom/bench/peers"
	"github.com/transom-gateway/transom/bench/unwell"
)

// settings are the flags.
type settings struct {
	rounds  int
	time    time.Duration
	only    string
	subject string
	transom string
	idle    int
	cases   string
	sizes   unwell.Sizes
	limit   time.Duration
	strict  bool
}

func main() {
	// Processes die with the thread that started them: keep it for all of them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 2 && os.Args[1] == peerCommand {
		exit(runPeer(ctx, os.Args[2], os.Args[3:]))
	}
	s := settings{sizes: unwell.Full()}
	flag.IntVar(&s.rounds, "rounds", 5, "rounds per scenario; every round loads each contender once")
	flag.DurationVar(&s.time, "time", time.Second, "how long one contender is loaded in one round, in whole seconds")
	flag.StringVar(&s.only, "only", "", "run these scenarios alone, separated by commas")
	flag.StringVar(&s.subject, "subject", subjectTransom, "what stands in Transom's place: transom, or grpc-gateway to try the harness on itself")
	flag.StringVar(&s.transom, "transom", "", "a transom binary to use; without it one is built")
	flag.IntVar(&s.idle, "idle", 10_000, "how many WebSockets idle-websockets opens")
	flag.IntVar(&s.sizes.Creates, "creates", s.sizes.Creates, "how many calls with side effects unwell makes while servers are killed; its goal is about a million")
	flag.StringVar(&s.cases, "cases", "", "run these cases of unwell alone, separated by commas")
	flag.DurationVar(&s.limit, "limit", 30*time.Minute, "the longest the whole may take")
	flag.BoolVar(&s.strict, "strict", false, "exit 1 where a goal is missed")
	list := flag.Bool("list", false, "list the scenarios")
	flag.Parse()
	if *list {
		for _, sc := range scenarios() {
			fmt.Printf("%-16s %s\n", sc.name, sc.title)
		}
		return
	}
	exit(run(ctx, s, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runPeer is what a peer's own process does.
func runPeer(ctx context.Context, name string, args []string) error {
	flags := flag.NewFlagSet(peerCommand, flag.ExitOnError)
	var b peers.Backends
	flags.StringVar(&b.GRPC, "grpc", "", "the gRPC backend")
	flags.StringVar(&b.JSON, "json", "", "the JSON backend")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return peers.Run(ctx, name, b, os.Stdout)
}

// run runs the scenarios that were asked for and writes the table. What one
// scenario meets does not keep the others from running.
func run(ctx context.Context, s settings, out io.Writer) error {
	chosen, err := choose(s)
	if err != nil {
		return err
	}
	if missing := load.Missing("wrk", "h2load", "nginx"); missing != nil {
		return fmt.Errorf("not installed: %s; run bench/install.sh", strings.Join(missing, ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	fleet, err := newFleet(ctx, s)
	if err != nil {
		return err
	}
	defer fleet.stop()
	if err := fleet.start(ctx, chosen); err != nil {
		return err
	}
	if err := writeHead(out, s); err != nil {
		return err
	}
	var problems []error
	for _, sc := range chosen {
		rows, err := sc.run(ctx, fleet, s)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", sc.name, err))
		}
		if err := writeRows(out, sc, rows, err); err != nil {
			return err
		}
		if s.strict {
			problems = append(problems, missed(sc, rows)...)
		}
	}
	return errors.Join(problems...)
}

// choose returns the scenarios of the flags.
func choose(s settings) ([]scenario, error) {
	if s.subject != subjectTransom && s.subject != subjectSelf {
		return nil, fmt.Errorf("-subject is %q, expected %s or %s", s.subject, subjectTransom, subjectSelf)
	}
	if s.rounds < 1 || s.time < time.Second || s.idle < 1 {
		return nil, errors.New("-rounds and -idle must be at least 1, -time at least 1s")
	}
	all := scenarios()
	if s.subject == subjectSelf {
		all = slices.DeleteFunc(all, func(sc scenario) bool { return sc.transomOnly })
	}
	if s.only == "" {
		return all, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(s.only, ",") {
		i := slices.IndexFunc(all, func(sc scenario) bool { return sc.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q for %s; -list lists them", name, s.subject)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
