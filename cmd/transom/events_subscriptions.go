package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/admin"
)

func newEventsGroups(s streams, o *operator) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "groups",
		Short: "List subscriptions, and how far they are",
		Args:  takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var page struct {
				Groups []admin.Subscription `json:"groups"`
			}
			if err := o.ask(c.Context(), http.MethodGet, "/events/groups", &page); err != nil {
				return problem(err)
			}
			if asJSON {
				return printJSON(s.out, page)
			}
			return printGroups(s.out, page.Groups)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printGroups(w io.Writer, list []admin.Subscription) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SUBSCRIPTION\tSOURCE\tTOPIC\tMETHOD\tSTATE\tPARTITION\tLAG\tSECONDS\tDEAD") // Flush says
	for _, g := range list {
		state := g.State
		if g.Failure != "" {
			state += ": " + printable(g.Failure)
		}
		start := []string{g.Name, g.Source, g.Topic, g.Method, state}
		if len(g.Partitions) == 0 {
			_, _ = fmt.Fprintln(t, strings.Join(append(start, "-", "-", "-", strconv.Itoa(g.Dead)), "\t"))
		}
		for _, p := range g.Partitions {
			_, _ = fmt.Fprintln(t, strings.Join(append(start, strconv.Itoa(int(p.Partition)), strconv.FormatInt(p.Lag, 10),
				strconv.FormatFloat(p.LagSeconds, 'f', 1, 64), strconv.Itoa(g.Dead)), "\t"))
		}
	}
	return t.Flush()
}

// groupPath is the path of a subscription on the admin listener.
func groupPath(name, verb string) string {
	return "/events/groups/" + url.PathEscape(name) + "/" + verb
}

// newEventsVerbs are what is done to subscriptions.
func newEventsVerbs(s streams, o *operator) []*cobra.Command {
	done := func(ctx context.Context, path string) error {
		if err := o.ask(ctx, http.MethodPost, path, nil); err != nil {
			return problem(err)
		}
		_, err := fmt.Fprintln(s.out, "done")
		return err
	}
	var all []*cobra.Command
	for _, v := range [][2]string{{"pause", "Have a subscription make no calls until it is resumed"}, {"resume", "Have a paused subscription go on"}} {
		all = append(all, &cobra.Command{
			Use: v[0] + " SUBSCRIPTION", Short: v[1], Args: takes(1, 1, "the name of a subscription, as groups shows it"),
			RunE: func(c *cobra.Command, args []string) error { return done(c.Context(), groupPath(args[0], v[0])) },
		})
	}
	var partition int
	seek := &cobra.Command{
		Use:     "seek SUBSCRIPTION POSITION",
		Short:   "Have a subscription go on elsewhere: earliest, latest, a time or an offset",
		Example: "  transom events seek count-clicks 2026-01-31T12:00:00Z",
		Args:    takes(2, 2, "the name of a subscription, and earliest, latest, a time or an offset"),
		RunE: func(c *cobra.Command, args []string) error {
			q := url.Values{"to": {args[1]}, "partition": {strconv.Itoa(partition)}}
			var said string
			if err := o.ask(c.Context(), http.MethodPost, groupPath(args[0], "seek")+"?"+q.Encode(), &said); err != nil {
				return problem(err)
			}
			for line := range strings.Lines(said) {
				if _, err := fmt.Fprintln(s.out, printable(strings.TrimSpace(line))); err != nil {
					return err
				}
			}
			return nil
		},
	}
	seek.Flags().IntVar(&partition, "partition", 0, "the `partition` that an offset is of")
	return append(all, seek)
}

func newEventsDead(s streams, o *operator) *cobra.Command {
	c := &cobra.Command{
		Use:   "dead",
		Short: "List, show, send again and drop the dead letters of a subscription",
		Args:  takes(0, 0, "list, show, retry or drop"),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var asJSON bool
	var only deadFilter
	list := &cobra.Command{
		Use:   "list SUBSCRIPTION",
		Short: "List the events whose calls did not succeed, and why",
		Args:  takes(1, 1, "the name of a subscription"),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := deadLetters(c.Context(), o, args[0], &only)
			if err != nil {
				return problem(err)
			}
			if asJSON {
				return printJSON(s.out, map[string][]admin.DeadLetter{"dead": all})
			}
			return printDead(s.out, all)
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the events")
	only.flag(list)
	show := &cobra.Command{
		Use: "show SUBSCRIPTION ID", Short: "Show a dead letter with its event", Args: takes(2, 2, "the name of a subscription, and an id as list shows it"),
		RunE: func(c *cobra.Command, args []string) error {
			var letter admin.DeadLetter
			if err := o.ask(c.Context(), http.MethodGet, deadPath(args[0], args[1]), &letter); err != nil {
				return problem(err)
			}
			return printJSON(s.out, letter)
		},
	}
	c.AddCommand(list, show, newDeadVerb(s, o, "retry", "Call the method again with events, and drop those for which it succeeds"), newDeadVerb(s, o, "drop", "Forget dead letters"))
	return c
}

func deadPath(name, id string) string {
	return "/events/dead/" + url.PathEscape(name) + "/" + url.PathEscape(id)
}

// deadLetters are those of a subscription that a filter lets pass.
func deadLetters(ctx context.Context, o *operator, name string, only *deadFilter) ([]admin.DeadLetter, error) {
	passes, err := only.compile()
	if err != nil {
		return nil, err
	}
	all, after := []admin.DeadLetter{}, ""
	for {
		var page struct {
			Dead []admin.DeadLetter `json:"dead"`
		}
		if err := o.ask(ctx, http.MethodGet, "/events/dead/"+url.PathEscape(name)+"?after="+url.QueryEscape(after), &page); err != nil {
			return nil, err
		}
		for _, d := range page.Dead {
			if ok, err := passes(d); err != nil {
				return nil, err
			} else if ok {
				all = append(all, d)
			}
		}
		if len(page.Dead) == 0 || page.Dead[len(page.Dead)-1].ID <= after {
			return all, nil
		}
		after = page.Dead[len(page.Dead)-1].ID
	}
}

// newDeadVerb is what is done to dead letters: those whose ids are given, or all.
func newDeadVerb(s streams, o *operator, verb, short string) *cobra.Command {
	var all bool
	var rate float64
	var only deadFilter
	c := &cobra.Command{
		Use:   verb + " SUBSCRIPTION [ID...]",
		Short: short,
		Args:  takes(1, 1000, "the name of a subscription, and ids as list shows them"),
		RunE: func(c *cobra.Command, args []string) error {
			ids := args[1:]
			if all == (len(ids) > 0) {
				return problem(errors.New("expected either ids or --all"))
			}
			if only.source != "" && !all {
				return problem(errors.New("--filter goes with --all"))
			}
			if rate <= 0 {
				return problem(errors.New("--rate: expected a number above 0"))
			}
			if all {
				list, err := deadLetters(c.Context(), o, args[0], &only)
				if err != nil {
					return problem(err)
				}
				for _, d := range list {
					ids = append(ids, d.ID)
				}
			}
			return doDead(c.Context(), s, o, args[0], verb, ids, time.Duration(float64(time.Second)/rate))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all dead letters of the subscription")
	only.flag(c)
	c.Flags().Float64Var(&rate, "rate", 10, "how many a `second`")
	return c
}

// doDead does it to one after the other, and goes on where that fails.
func doDead(ctx context.Context, s streams, o *operator, name, verb string, ids []string, apart time.Duration) error {
	failed := 0
	for i, id := range ids {
		if i > 0 {
			select {
			case <-time.After(apart):
			case <-ctx.Done():
				return problem(ctx.Err())
			}
		}
		said := "done"
		if err := o.ask(ctx, http.MethodPost, deadPath(name, id)+"/"+verb, nil); err != nil {
			failed++
			said = printable(err.Error())
		}
		if _, err := fmt.Fprintf(s.out, "%s: %s\n", id, said); err != nil {
			return err
		}
	}
	if failed > 0 {
		return problem(fmt.Errorf("%d of %d have failed", failed, len(ids)))
	}
	return nil
}

func printDead(w io.Writer, list []admin.DeadLetter) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tAT\tOFFSET\tATTEMPTS\tREASON") // Flush says
	for _, d := range list {
		reason := d.Code
		if d.Reason != "" {
			reason = d.Reason
		}
		_, _ = fmt.Fprintln(t, strings.Join([]string{d.ID, d.At.Format(time.RFC3339), fmt.Sprintf("%d/%d", d.Partition, d.Offset), strconv.Itoa(d.Attempts), reason + ": " + printable(d.Message)}, "\t"))
	}
	return t.Flush()
}
