package main

import (
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/gateway"
)

func newDescribe(s streams) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "describe [SYMBOL] [FOLDER...]",
		Short: "Describe services, methods and messages with their comments, routes and policies",
		Long: `Describe prints a service, method, message, field or enum, given by its full
name, with its comments, routes and policies. Without a name it lists the services.`,
		Example: `  transom describe ./protos
  transom describe bookstore.v1.BookstoreService/GetBook ./protos`,
		Args: takes(0, math.MaxInt, "a name, then folders"),
		RunE: func(c *cobra.Command, args []string) error {
			symbol := ""
			if len(args) > 0 && !isFolder(args[0]) {
				symbol, args = args[0], args[1:]
			}
			return in.look(c.Context(), s, args, func(g *gateway.Gateway) error {
				text, err := g.Describe(symbol)
				if err != nil {
					return problem(err)
				}
				_, err = io.WriteString(s.out, text)
				return err
			})
		},
	}
	in.flags(c)
	return c
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
