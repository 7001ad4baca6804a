// Command transom is the gateway: one binary that serves gRPC services as
// REST/JSON, gRPC, gRPC-Web and Connect from their descriptors.
//
//	transom serve ./protos --upstream localhost:50051
//	transom demo
//
// Exit codes: 0, 1 for a problem in the input, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/grpclog"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/observe"
)

// version is set by the linker.
var version = "dev"

// Exit codes of the command line.
const (
	exitProblem = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	grpclog.SetLoggerV2(observe.GRPCLog())
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var problem *problemError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &problem):
		if text := strings.TrimRight(err.Error(), "\n"); text != "" {
			_, _ = fmt.Fprintln(s.err, text)
		}
		return exitProblem
	}
	_, _ = fmt.Fprintf(s.err, "transom: %v\nSee '%s --help'.\n", err, command.CommandPath())
	return exitUsage
}

// problemError is a problem in the input, told from wrong usage.
type problemError struct{ err error }

func (e *problemError) Error() string { return e.err.Error() }
func (e *problemError) Unwrap() error { return e.err }

// problem marks an error as a problem in the input.
func problem(err error) error {
	if err == nil {
		return nil
	}
	return &problemError{err}
}

// takes holds that a command has from least to most arguments; what says which.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return fmt.Errorf("found %s, expected %s: %s", counted(len(args), "argument"), what, c.UseLine())
	}
}

// meantFlag adds to the error of a flag that the command does not have the one
// that was meant, if any is like it.
func meantFlag(c *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := nearest.Of(names, name); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "transom",
		Short: "A gateway that serves gRPC services as REST/JSON, gRPC, gRPC-Web and Connect",
		Long: `Transom reads protobuf descriptors at run time and lets anything that speaks
HTTP call gRPC services. Plain HTTP servers stand behind the same gateway, by the
routes of its configuration. Nothing is generated and nothing is restarted.

  transom demo                                         an example to play with
  transom serve ./protos --upstream localhost:50051    no configuration
  transom serve --config transom.yaml                  everything else`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetFlagErrorFunc(meantFlag)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.AddCommand(
		newServe(s), newDemo(s), newInit(s), newCheck(s), newRoutes(s), newDescribe(s), newExplain(s), newOpenAPI(s), newCall(s), newEvents(s), newKeys(s), newUpgrade(s), newHealthcheck(s), newVersion(s),
	)
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.Args, c.RunE = nil, needsShell
	}
	return root
}

// needsShell is the error of `transom completion` without one of its shells.
func needsShell(c *cobra.Command, args []string) error {
	var shells []string
	for _, shell := range c.Commands() {
		shells = append(shells, shell.Name())
	}
	expected := "expected a shell: " + strings.Join(shells, ", ")
	if len(args) == 0 {
		return errors.New("found no argument, " + expected)
	}
	if near := nearest.Of(shells, args[0]); near != "" {
		return fmt.Errorf("found %q, %s; did you mean %s?", args[0], expected, near)
	}
	return fmt.Errorf("found %q, %s", args[0], expected)
}
