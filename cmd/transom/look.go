package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/openapi"
)

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: takes(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.out, "transom %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func newCheck(s streams) *cobra.Command {
	in := input{namesWarnings: true}
	var live, strict bool
	c := &cobra.Command{
		Use:   "check [FOLDER...]",
		Short: "Compile protos, rules and policies and name every problem",
		Long:  "Check compiles protos, HTTP rules and policies as serve does. Each problem is\nprinted as file:line:column: message; exit code 1 where there is one that is no\nwarning. With --live it also asks the brokers and webhooks of the configuration\nwhether topics are there, may be written and read, and take the largest event.\nWith --strict a warning fails, too, and there is one for each part of an option for\nOpenAPI that the document is without.",
		RunE: func(c *cobra.Command, args []string) error {
			return in.look(c.Context(), s, args, func(g *gateway.Gateway) error {
				expiring, err := checkFiles(g)
				for _, warning := range expiring {
					_, _ = fmt.Fprintln(s.err, warning) // nobody reads what cannot be written
				}
				if err != nil {
					return problem(err)
				}
				found := counted(len(g.Routes()), "route")
				warnings := len(g.Status().Problems) + len(expiring)
				if live {
					said, asked := g.AskSinks(c.Context())
					in.warn(s.err, said)
					if err := said.Err(); err != nil {
						return problem(err)
					}
					warnings += len(said)
					found += ", asked " + counted(asked, "sink") + " of events"
				}
				if strict {
					_, remarks, err := g.OpenAPI(openapi.Options{})
					if err != nil {
						return problem(err)
					}
					in.warn(s.err, remarks)
					if warnings += len(remarks); warnings > 0 {
						return problem(fmt.Errorf("found %s, expected none (--strict)", counted(warnings, "warning")))
					}
				}
				if warnings > 0 {
					found += ", " + counted(warnings, "warning")
				}
				_, err = fmt.Fprintf(s.out, "ok: %s\n", found)
				return err
			})
		},
	}
	in.flags(c)
	c.Flags().BoolVar(&strict, "strict", false, "take warnings for errors, those of OpenAPI documents, too")
	c.Flags().BoolVar(&live, "live", false, "ask brokers and webhooks, too; nothing is written there")
	return c
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func newRoutes(s streams) *cobra.Command {
	var in input
	var asJSON bool
	c := &cobra.Command{
		Use:   "routes [FOLDER...]",
		Short: "List all routes",
		RunE: func(c *cobra.Command, args []string) error {
			return in.look(c.Context(), s, args, func(g *gateway.Gateway) error {
				if asJSON {
					return printJSON(s.out, map[string]any{"routes": g.Routes()})
				}
				return printRoutes(s.out, g.Routes())
			})
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
	table := append([][]string{{"METHOD", "PATH", "RPC", "REQUEST", "RESPONSE", "STREAM", "UPSTREAM", "POLICIES"}}, rows(routes)...)
	ofMethods := slices.ContainsFunc(routes, func(r gateway.Listed) bool { return r.RPC != "" })
	for _, row := range table {
		if !ofMethods {
			row = slices.Delete(row, 2, 6) // columns that only methods of gRPC services fill
		}
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func rows(routes []gateway.Listed) [][]string {
	var rows [][]string
	for _, r := range routes {
		path := strings.Join(append([]string{r.Path}, r.Conditions...), " ")
		rows = append(rows, []string{r.Method, path, dash(r.RPC), local(r.Request, r.RPC), local(r.Response, r.RPC), r.Stream, dash(cmp.Or(r.Upstream, r.Answer)), dash(strings.Join(r.Policies, " "))})
	}
	return rows
}

// local leaves out the package of a message where it is the method's own.
func local(message, rpc string) string {
	service, _, _ := strings.Cut(rpc, "/")
	if i := strings.LastIndexByte(service, '.'); i >= 0 {
		return strings.TrimPrefix(message, service[:i+1])
	}
	return message
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newExplain(s streams) *cobra.Command {
	var in input
	var ask asked
	c := &cobra.Command{
		Use:     "explain METHOD PATH [FOLDER...]",
		Short:   "Say which route a request takes, what it binds and which policies it meets",
		Long:    "Explain reads a request as serve does and says which route it takes, what its\nvariables bind and which policies it meets, or why it is refused; then the exit\ncode is 1. METHOD is an HTTP method, or websocket. PATH may be a URL: routes\ntake requests by its host; without one, and without a header Host, that is\n\"gateway\".",
		Example: "  transom explain GET /v1/shelves/1/books/2 ./protos\n  transom explain websocket /bookstore.v1.BookstoreService/Discuss ./protos\n  transom explain GET https://shop.example/cart --config transom.yaml",
		Args:    takes(2, math.MaxInt, "a method, a path, then folders"),
		RunE: func(c *cobra.Command, args []string) error {
			ask.Method, ask.URL = args[0], args[1]
			if err := ask.Check(); err != nil {
				return err
			}
			return in.look(c.Context(), s, args[2:], func(g *gateway.Gateway) error {
				if err := ask.read(s.in); err != nil {
					return err
				}
				return ask.explain(c.Context(), s.out, g)
			})
		},
	}
	in.flags(c)
	c.Flags().StringVarP(&ask.Body, "data", "d", "", "`body` of the request, @FILE, or @- for standard input")
	c.Flags().StringArrayVarP(&ask.Headers, "header", "H", nil, "header of the request, as `'name: value'`; may repeat")
	c.Flags().BoolVar(&ask.asJSON, "json", false, "print JSON")
	return c
}

// asked is a request to explain.
type asked struct {
	gateway.Asked
	asJSON bool
}

// read has the data be what is in the file that -d names.
func (a *asked) read(in io.Reader) error {
	name, isFile := strings.CutPrefix(a.Body, "@")
	if !isFile {
		return nil
	}
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(in)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return fmt.Errorf("-d: %w", err)
	}
	a.Body = string(data)
	return nil
}

// errSaid ends a command that has printed what is wrong.
var errSaid = errors.New("")

// explain prints what a gateway makes of a request.
func (a asked) explain(ctx context.Context, w io.Writer, g *gateway.Gateway) error {
	request, err := a.Request(ctx)
	if err != nil {
		return err
	}
	verdict := g.Explain(request)
	if a.asJSON {
		err = printJSON(w, verdict)
	} else {
		_, err = io.WriteString(w, verdict.Report)
	}
	if err != nil {
		return err
	}
	if !verdict.Accepted {
		return problem(errSaid)
	}
	return nil
}

// look has a gateway looked at that is built of the input and serves nobody.
func (in *input) look(ctx context.Context, s streams, folders []string, at func(*gateway.Gateway) error) error {
	if err := in.check(folders); err != nil {
		return err
	}
	g, err := in.once(ctx, s, true)
	if err != nil {
		return err
	}
	defer g.Close()
	return at(g)
}
