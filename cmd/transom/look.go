package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/gateway"
)

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.out, "transom %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func newCheck(s streams) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "check [FOLDER...]",
		Short: "Compile protos, rules and policies and name every problem",
		Long:  "Check compiles protos, HTTP rules and policies as serve does. Each problem is\nprinted as file:line:column: message; exit code 1 where there is one.",
		RunE: func(c *cobra.Command, args []string) error {
			if err := in.check(args); err != nil {
				return err
			}
			g, err := in.once(c.Context(), s, true)
			if err != nil {
				return err
			}
			defer g.Close()
			_, err = fmt.Fprintf(s.out, "ok: %d routes\n", len(g.Routes()))
			return err
		},
	}
	in.flags(c)
	return c
}

func newRoutes(s streams) *cobra.Command {
	var in input
	var asJSON bool
	c := &cobra.Command{
		Use:   "routes [FOLDER...]",
		Short: "List all routes",
		RunE: func(c *cobra.Command, args []string) error {
			if err := in.check(args); err != nil {
				return err
			}
			g, err := in.once(c.Context(), s, true)
			if err != nil {
				return err
			}
			defer g.Close()
			if asJSON {
				return printJSON(s.out, map[string]any{"routes": g.Routes()})
			}
			return printRoutes(s.out, g.Routes())
		},
	}
	in.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printRoutes(w io.Writer, routes []gateway.Listed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{{"METHOD", "PATH", "RPC", "STREAM", "UPSTREAM", "POLICIES"}}, rows(routes)...) {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func rows(routes []gateway.Listed) [][]string {
	var rows [][]string
	for _, r := range routes {
		rows = append(rows, []string{r.Method, r.Path, r.RPC, r.Stream, dash(r.Upstream), dash(strings.Join(r.Policies, " "))})
	}
	return rows
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newExplain(s streams) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:     "explain METHOD PATH [FOLDER]",
		Short:   "Say which route a request takes, what it binds and which policies it meets",
		Example: "  transom explain GET /v1/shelves/1/books/2 ./protos",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			var folders []string
			if len(args) == 3 {
				folders = args[2:]
			}
			if err := in.check(folders); err != nil {
				return err
			}
			g, err := in.once(c.Context(), s, true)
			if err != nil {
				return err
			}
			defer g.Close()
			request, err := http.NewRequestWithContext(c.Context(), strings.ToUpper(args[0]), "http://gateway"+args[1], http.NoBody)
			if err != nil {
				return fmt.Errorf("%q is no path: %w", args[1], err)
			}
			text, found := g.Explain(request)
			if _, err := io.WriteString(s.out, text); err != nil {
				return err
			}
			if !found {
				return problem(fmt.Errorf("no route for %s %s", args[0], args[1]))
			}
			return nil
		},
	}
	in.flags(c)
	return c
}
