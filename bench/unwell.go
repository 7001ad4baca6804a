package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/transom-gateway/transom/bench/unwell"
)

// unwellConns is how many connections the clients of a gateway have.
const unwellConns = 16

// unwellScenario lets servers fail in several ways, each behind a gateway that is
// started for it.
func unwellScenario() scenario {
	return scenario{
		name: "unwell", title: "servers that fail: what clients see, and what arrives", unit: "",
		transomOnly: true, run: runUnwell,
		head: "| | gateway | measured | | goal |\n| --- | --- | ---: | --- | ---: |\n",
	}
}

func runUnwell(ctx context.Context, f *fleet, s settings) ([]row, error) {
	var rows []row
	cases, err := chooseCases(s.cases)
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		for _, g := range f.resilient() {
			figures, err := c.Run(ctx, f.bed(g, s))
			for _, figure := range figures {
				rows = append(rows, unwellRow(g, figure))
			}
			if err != nil {
				rows = append(rows, row{
					label: c.Name, cells: g.label + " | | failed: " + oneLine(err.Error()), figure: math.NaN(), ratio: math.NaN(), bounded: g.judged,
				})
			}
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
		}
	}
	return rows, nil
}

// chooseCases returns the cases with these names, separated by commas; all for "".
func chooseCases(names string) ([]unwell.Case, error) {
	all := unwell.Cases()
	if names == "" {
		return all, nil
	}
	var chosen []unwell.Case
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(c unwell.Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no case %q of unwell", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// unwellRow is the line of a figure. Only Transom's are judged.
func unwellRow(g resilient, figure unwell.Figure) row {
	r := row{label: figure.Label, figure: figure.Value, allocs: math.NaN(), ratio: math.NaN()}
	if figure.HasGoal && g.judged {
		r.goal, r.bounded = figure.Goal, true
	}
	text := number(figure.Value)
	if figure.Value == math.Trunc(figure.Value) && figure.Unit == "" {
		text = fmt.Sprint(int(figure.Value))
	}
	r.cells = fmt.Sprintf("%s | %s | %s", g.label, strings.TrimSpace(text+" "+figure.Unit), oneLine(figure.Note))
	return r
}

// oneLine lets a text stand in a cell of a table.
func oneLine(text string) string {
	return strings.NewReplacer("\n", " ", "|", "/").Replace(text)
}

// resilient is a gateway that stands in front of servers that fail.
type resilient struct {
	label  string
	judged bool // the goals are its
	// command writes a configuration and returns what starts the gateway.
	command func(f *fleet, serve string, setup unwell.Setup) (*exec.Cmd, error)
}

// resilient are those that are here.
func (f *fleet) resilient() []resilient {
	all := []resilient{{"Transom", true, transomUnwell}}
	if envoyBinary() != "" {
		all = append(all, resilient{"Envoy", false, envoyUnwell})
	}
	return all
}

// bed is where a case is run on a gateway.
func (f *fleet) bed(g resilient, s settings) *unwell.Bed {
	return &unwell.Bed{
		Sizes:   s.sizes,
		Address: freeAddress,
		Start: func(ctx context.Context, setup unwell.Setup) (*unwell.Stand, error) {
			return f.stand(ctx, g, setup)
		},
	}
}

// stand starts a gateway and connects to it.
func (f *fleet) stand(ctx context.Context, g resilient, setup unwell.Setup) (*unwell.Stand, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := g.command(f, serve, setup)
	if err != nil {
		return nil, err
	}
	p, err := f.add(g.label, cmd)
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, serve); err != nil {
		p.process.Stop()
		return nil, err
	}
	stand := &unwell.Stand{}
	var conns []*grpc.ClientConn
	stand.Stop = func() {
		for _, conn := range conns {
			_ = conn.Close() // It was open.
		}
		p.process.Stop()
		f.running = slices.DeleteFunc(f.running, func(other *peer) bool { return other == p })
	}
	for range unwellConns {
		conn, err := grpc.NewClient("passthrough:///"+serve, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
		if err != nil {
			stand.Stop()
			return nil, errors.Join(err, p.process.Err())
		}
		conns, stand.Conns = append(conns, conn), append(stand.Conns, conn)
	}
	return stand, nil
}
