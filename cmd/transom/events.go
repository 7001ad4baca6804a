package main

import (
	"bufio"
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

	"github.com/transom-gateway/transom/events/sinks"
	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
)

// eventSinks are the sinks of events that the program has.
var eventSinks = gateway.EventSinks{Open: sinks.Open, Source: sinks.Source, Check: sinks.Check, Ask: sinks.Ask}

func newEvents(s streams) *cobra.Command {
	o := &operator{}
	c := &cobra.Command{
		Use:   "events",
		Short: "Look at events of a gateway that runs, and at its log of events",
		Long: `Events asks the admin listener of a gateway for its events: those that it publishes,
how far sinks are and what they have refused, and how subscriptions are. "events log" reads the log on disk, of a
gateway that runs or does not.

The token for the listener, if it wants one, is the environment variable TRANSOM_ADMIN_TOKEN;
tail, rejected and dead need the role operate, as events may tell of people.`,
		Args: takes(0, 0, "publish, tail, lag, rejected, groups, pause, resume, seek, dead or log"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&o.address, "admin", "127.0.0.1:9901", "`address` of the admin listener: host:port, or https://host:port")
	c.PersistentFlags().StringVar(&o.ca, "admin-ca", "", "PEM `file` of the authorities that the listener's certificate is checked with")
	c.AddCommand(newEventsPublish(s), newEventsTail(s, o), newEventsLag(s, o), newEventsRejected(s, o), newEventsLog(s), newEventsGroups(s, o), newEventsDead(s, o))
	c.AddCommand(newEventsVerbs(s, o)...)
	return c
}

func newEventsTail(s streams, o *operator) *cobra.Command {
	var eventType, topic string
	var earliest bool
	var most int
	c := &cobra.Command{
		Use:     "tail",
		Short:   "Print events as they are stored, one CloudEvent in JSON a line",
		Example: "  transom events tail\n  transom events tail --from-earliest --type 'book.*' -n 10",
		Args:    takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, value := range map[string]string{"type": eventType, "topic": topic} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if earliest {
				q.Set("from", "earliest")
			}
			return problem(o.follow(c.Context(), "/events/tail?"+q.Encode(), s.out, most))
		},
	}
	c.Flags().StringVar(&eventType, "type", "", "only events of this `type`; \"book.*\" for all whose type begins so")
	c.Flags().StringVar(&topic, "topic", "", "only events of this `topic`")
	c.Flags().BoolVar(&earliest, "from-earliest", false, "begin with the oldest event in the log")
	c.Flags().IntVarP(&most, "number", "n", 0, "end after so many `events`; 0 for never")
	return c
}

// follow prints the lines of an answer as they come, up to most of them unless that is 0.
func (o *operator) follow(ctx context.Context, path string, out io.Writer, most int) error {
	body, err := o.open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewReader(body)
	for n := 0; most == 0 || n < most; n++ {
		line, err := lines.ReadString('\n')
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the gateway has ended the list")
		case err != nil:
			return fmt.Errorf("the admin listener's answer: %w", err)
		}
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	return nil
}

func newEventsLag(s streams, o *operator) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "lag",
		Short: "List sinks, and how many events wait for each",
		Args:  takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var all admin.EventSinks
			if err := o.ask(c.Context(), http.MethodGet, "/events/sinks", &all); err != nil {
				return problem(err)
			}
			if asJSON {
				return printJSON(s.out, all)
			}
			return printSinks(s.out, all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printSinks(w io.Writer, all admin.EventSinks) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SINK\tLAG\tQUEUE\tLAST SUCCESS\tSTATE") // Flush says
	for _, one := range all.Sinks {
		last := "-"
		if one.LastSuccess != nil {
			last = one.LastSuccess.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintln(t, strings.Join([]string{one.Name, strconv.FormatUint(one.Lag, 10), strconv.Itoa(one.Queue), last, sinkState(one)}, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if l := all.Log; l != nil {
		_, err := fmt.Fprintf(w, "log: %d records, %d MiB%s\n", l.Records, l.Bytes>>20, strings.TrimSuffix(", failed: "+l.Failure, ", failed: "))
		return err
	}
	return nil
}

// sinkState is how a sink is, in a word or with the reason.
func sinkState(s admin.EventSink) string {
	state := "ok"
	switch {
	case s.Failure != "" && s.Since != nil:
		state = "away since " + s.Since.Format(time.RFC3339) + ": " + printable(s.Failure)
	case s.Failure != "":
		state = "away: " + printable(s.Failure)
	case s.SilentSince != nil:
		state = "no answer since " + s.SilentSince.Format(time.RFC3339)
	case s.Refusal != "":
		state = "rejects: " + printable(s.Refusal)
	}
	if s.NotReloaded != "" {
		state += "; not in effect: " + printable(s.NotReloaded)
	}
	return state
}

func newEventsRejected(s streams, o *operator) *cobra.Command {
	c := &cobra.Command{
		Use:   "rejected",
		Short: "List, send again and drop events that a sink has refused for good",
		Args:  takes(0, 0, "list, retry or drop"),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var sink string
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the events that sinks have refused for good",
		Args:  takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var page struct {
				Rejected []admin.RejectedEvent `json:"rejected"`
			}
			path := "/events/rejected"
			if sink != "" {
				path += "?sink=" + url.QueryEscape(sink)
			}
			if err := o.ask(c.Context(), http.MethodGet, path, &page); err != nil {
				return problem(err)
			}
			if asJSON {
				return printJSON(s.out, page)
			}
			return printRejected(s.out, page.Rejected)
		},
	}
	list.Flags().StringVar(&sink, "sink", "", "only those of this `sink`")
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the events")
	c.AddCommand(list)
	for verb, short := range map[string]string{
		"retry": "Send an event to its sink again",
		"drop":  "Forget an event",
	} {
		c.AddCommand(&cobra.Command{
			Use:   verb + " SINK ID",
			Short: short,
			Args:  takes(2, 2, "a sink and the id of an event, as list shows them"),
			RunE: func(c *cobra.Command, args []string) error {
				path := "/events/rejected/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1]) + "/" + verb
				if err := o.ask(c.Context(), http.MethodPost, path, nil); err != nil {
					return problem(err)
				}
				_, err := fmt.Fprintln(s.out, "done")
				return err
			},
		})
	}
	return c
}

func printRejected(w io.Writer, list []admin.RejectedEvent) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SINK\tAT\tTOPIC\tID\tREASON") // Flush says
	for _, r := range list {
		_, _ = fmt.Fprintln(t, strings.Join([]string{r.Sink, r.At.Format(time.RFC3339), r.Topic, r.ID, printable(r.Reason)}, "\t"))
	}
	return t.Flush()
}
