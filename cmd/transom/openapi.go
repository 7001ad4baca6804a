package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/openapi"
)

func newOpenAPI(s streams) *cobra.Command {
	var in input
	var o openapi.Options
	var format, output string
	c := &cobra.Command{
		Use:   "openapi [FOLDER...]",
		Short: "Print the OpenAPI document of all routes",
		Long: `Openapi prints the OpenAPI document of what serve would serve: of the routes
that there are, and of the policies that hold for them. The same input gives the
same bytes.`,
		Example: `  transom openapi ./protos
  transom openapi --service bookstore.v1.BookstoreService --format yaml -o bookstore.yaml ./protos`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.Version != openapi.Version31 && o.Version != openapi.Version32 {
				return fmt.Errorf("--version: found %q, expected %s or %s", o.Version, openapi.Version31, openapi.Version32)
			}
			if format != "json" && format != "yaml" {
				return fmt.Errorf("--format: found %q, expected json or yaml", format)
			}
			return in.look(c.Context(), s, args, func(g *gateway.Gateway) error {
				document, problems, err := g.OpenAPI(o)
				if err != nil {
					return problem(err)
				}
				for _, p := range problems {
					_, _ = fmt.Fprintln(s.err, p) // nobody reads what cannot be written
				}
				text := document.JSON()
				if format == "yaml" {
					text = document.YAML()
				}
				return problem(writeTo(s.out, output, text))
			})
		},
	}
	in.flags(c)
	c.Flags().StringVar(&o.Version, "version", openapi.Version31, "`version` of OpenAPI, 3.1 or 3.2")
	c.Flags().StringVar(&o.Service, "service", "", "describe this service alone, by its full `name`")
	c.Flags().StringSliceVar(&o.Packages, "package", nil, "describe the services of this `package` alone; may repeat")
	c.Flags().StringSliceVar(&o.Visibility, "visibility", nil, "show what has this `restriction` of google.api; may repeat")
	c.Flags().StringVar(&format, "format", "json", "json or yaml")
	c.Flags().StringVarP(&output, "output", "o", "", "write into this `file`")
	return c
}

// writeTo writes into a file, or where there is none to out.
func writeTo(out io.Writer, file string, text []byte) error {
	if file == "" {
		_, err := out.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o666) //nolint:gosec // the umask decides, as for any program's output
}
