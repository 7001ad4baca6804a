package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/admin"
)

func newKeys(s streams) *cobra.Command {
	o := &operator{}
	c := &cobra.Command{
		Use:   "keys",
		Short: "List, show and release idempotency keys of a gateway that runs",
		Long: `Keys asks the admin listener of a gateway for the keys of its policies
idempotency_key: those in flight, and those of calls whose outcome nobody knows. A key that
is released is free: the next call under it is made.

The token for the listener, if it wants one, is the environment variable TRANSOM_ADMIN_TOKEN.`,
		Args: takes(0, 0, "list, show or release"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&o.address, "admin", "127.0.0.1:9901", "`address` of the admin listener: host:port, https://host:port or unix:/path")
	c.PersistentFlags().StringVar(&o.ca, "admin-ca", "", "PEM `file` of the authorities that the listener's certificate is checked with")
	c.AddCommand(newKeysList(s, o), newKeysShow(s, o), newKeysRelease(s, o))
	return c
}

func newKeysList(s streams, o *operator) *cobra.Command {
	var key, principal, rpc string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the keys in flight and those whose outcome is unknown",
		Example: "  transom keys list\n  transom keys list --principal ada --rpc bookstore.v1.BookstoreService/CreateShelf",
		Args:    takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, value := range map[string]string{"key": key, "principal": principal, "rpc": rpc} {
				if value != "" {
					q.Set(name, value)
				}
			}
			list, err := o.list(c.Context(), q)
			switch {
			case err != nil:
				return problem(err)
			case asJSON:
				return printJSON(s.out, map[string]any{"keys": list})
			}
			return printKeys(s.out, list)
		},
	}
	c.Flags().StringVar(&key, "key", "", "only this `key`, as the client sent it; also where it was answered")
	c.Flags().StringVar(&principal, "principal", "", "only keys of this `caller`")
	c.Flags().StringVar(&rpc, "rpc", "", "only keys of this `method` (package.Service/Method) or route")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newKeysShow(s streams, o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show the key of an id, in whatever state it is",
		Args:  takes(1, 1, "the id of a key, as list shows it"),
		RunE: func(c *cobra.Command, args []string) error {
			var k admin.Key
			if err := o.ask(c.Context(), http.MethodGet, "/keys/"+url.PathEscape(args[0]), &k); err != nil {
				return problem(err)
			}
			return printJSON(s.out, k)
		},
	}
}

func newKeysRelease(s streams, o *operator) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "release ID",
		Short: "Release the key of an id: the next call under it is made",
		Long: `Release forgets a key whose outcome is unknown, so that the next call under it is made.
Find out first whether the call was carried out: it may be made a second time.`,
		Args: takes(1, 1, "the id of a key, as list shows it"),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/keys/" + url.PathEscape(args[0]) + "/release"
			if force {
				path += "?force=true"
			}
			if err := o.ask(c.Context(), http.MethodPost, path, nil); err != nil {
				return problem(err)
			}
			_, err := fmt.Fprintln(s.out, "released")
			return err
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also one that is in flight or was answered")
	return c
}

// list asks for all pages.
func (o *operator) list(ctx context.Context, q url.Values) ([]admin.Key, error) {
	list := []admin.Key{}
	for {
		path := "/keys"
		if len(q) > 0 {
			path += "?" + q.Encode()
		}
		var page struct {
			Keys []admin.Key `json:"keys"`
			Next string      `json:"next"`
		}
		if err := o.ask(ctx, http.MethodGet, path, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Keys...)
		if page.Next == "" {
			return list, nil
		}
		q.Set("after", page.Next)
	}
}

// printKeys prints a table.
func printKeys(w io.Writer, list []admin.Key) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "STATE\tBEGUN\tRPC\tPRINCIPAL\tKEY\tSTORE\tID") // Flush says
	for _, k := range list {
		begun := "" // of one that somebody else has changed in the store, that and more may be unknown
		if !k.Begun.IsZero() {
			begun = k.Begun.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintln(t, strings.Join([]string{
			k.State, dash(begun), dash(printable(k.RPC)), dash(printable(k.Principal)), dash(printable(k.Key)), k.Store, k.ID,
		}, "\t"))
	}
	return t.Flush()
}

// printable is a text of somebody else's for a terminal.
func printable(text string) string {
	if quoted, err := json.Marshal(text); err == nil && string(quoted) != `"`+text+`"` {
		return string(quoted)
	}
	return text
}
