package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// Bounds of what is published at once, as the gateway has them.
const (
	publishEvents = 500
	publishBytes  = 200 << 10
)

// publisher sends events to a gateway that runs.
type publisher struct {
	address string
	headers []string
	client  *http.Client
	out     io.Writer

	batch    []json.RawMessage
	size     int
	lines    []int // of the batch's events
	accepted int
	rejected int
}

func newEventsPublish(s streams) *cobra.Command {
	p := &publisher{out: s.out}
	var data string
	c := &cobra.Command{
		Use:   "publish",
		Short: "Publish events by EventService of a gateway, as pages and apps do",
		Long: `Publish sends events, a UserEvent in JSON a line, to EventService.PublishBatch of a gateway
that runs and has events.behaviour. It reads standard input, or takes one event by -d. It says
how many were accepted, and which were not, and ends with 1 if there are any.`,
		Example: "  transom events publish -d '{\"type\": \"user.click\"}'\n  transom events publish --url https://api.example -H 'Authorization: Bearer …' < events.ndjson",
		Args:    takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var in io.Reader = strings.NewReader(data)
			if data == "" {
				in = s.in
			}
			p.client = &http.Client{Timeout: operatorTime}
			defer p.client.CloseIdleConnections()
			return problem(p.publish(c.Context(), in))
		},
	}
	c.Flags().StringVar(&p.address, "url", "http://localhost:8080", "`URL` of the gateway")
	c.Flags().StringVarP(&data, "data", "d", "", "one `event` in JSON; without it, standard input has one a line")
	c.Flags().StringArrayVarP(&p.headers, "header", "H", nil, "a header to send, as `'name: value'`; may repeat")
	return c
}

// publish sends all events of a reader.
func (p *publisher) publish(ctx context.Context, in io.Reader) error {
	u, err := url.Parse(p.address)
	if err != nil || u.Host == "" {
		return fmt.Errorf("--url: found %q, expected the URL of a gateway, such as http://localhost:8080", p.address)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			return p.end(ctx, fmt.Errorf("line %d: expected an event in JSON; what is before it was sent, and nothing behind it", n))
		}
		if len(p.batch) == publishEvents || p.size+len(line) > publishBytes && len(p.batch) > 0 {
			if err := p.send(ctx); err != nil {
				return err
			}
		}
		p.batch, p.lines, p.size = append(p.batch, bytes.Clone(line)), append(p.lines, n), p.size+len(line)
	}
	return p.end(ctx, lines.Err())
}

// end sends what waits, and says what became of all.
func (p *publisher) end(ctx context.Context, wrong error) error {
	if err := p.send(ctx); err != nil {
		return errors.Join(wrong, err)
	}
	if _, err := fmt.Fprintf(p.out, "%d accepted, %d rejected\n", p.accepted, p.rejected); err != nil {
		return err
	}
	if wrong == nil && p.rejected > 0 {
		return errors.New("some events were rejected")
	}
	return wrong
}

// send sends what waits.
func (p *publisher) send(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{"events": p.batch})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.address, "/")+"/transom.v1.EventService/PublishBatch", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range p.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("-H: found %q, expected 'name: value'", h)
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("the gateway cannot be asked; is --url its address? %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, operatorAnswer))
	if err != nil {
		return err
	}
	return p.tell(answer, text)
}

// tell takes an answer in.
func (p *publisher) tell(answer *http.Response, text []byte) error {
	if answer.StatusCode != http.StatusOK {
		hint := ""
		if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusNotImplemented {
			hint = "; does its configuration have events.behaviour?"
		}
		return fmt.Errorf("the gateway: %s: %s%s", answer.Status, strings.TrimSpace(string(text)), hint)
	}
	var result struct {
		Accepted int `json:"accepted"`
		Rejected []struct {
			Index  int    `json:"index"`
			Reason string `json:"reason"`
		} `json:"rejected"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	for _, one := range result.Rejected {
		if one.Index < 0 || one.Index >= len(p.lines) {
			return fmt.Errorf("the gateway's answer: found the event %d, but %d were sent", one.Index, len(p.lines))
		}
		if _, err := fmt.Fprintf(p.out, "line %d: %s\n", p.lines[one.Index], one.Reason); err != nil {
			return err
		}
	}
	p.accepted, p.rejected = p.accepted+result.Accepted, p.rejected+len(result.Rejected)
	p.batch, p.lines, p.size = nil, nil, 0
	return nil
}
