package main

import (
	"context"
	"fmt"
	"math"

	"github.com/transom-gateway/transom/bench/unwell"
)

// retriesScenario shows fault by fault what clients see and what arrives. Its
// goal: no call with side effects arrives twice.
func retriesScenario() scenario {
	return scenario{
		name: "retries", title: "three calls of each method that meet a fault, three attempts: what clients see, and how many calls arrive",
		transomOnly: true, run: runRetries,
		head: "| fault | side effects | Transom | Envoy | arrived twice |\n| --- | --- | --- | --- | --- |\n",
	}
}

func runRetries(ctx context.Context, f *fleet, s settings) ([]row, error) {
	var all [][]unwell.Outcome
	for _, g := range f.resilient() {
		outcomes, err := unwell.Retries(ctx, f.bed(g, s))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.label, err)
		}
		all = append(all, outcomes)
	}
	var rows []row
	for i, o := range all[0] {
		r := row{label: o.Fault, ratio: math.NaN(), allocs: math.NaN(), figure: float64(o.Twice), bounded: o.Create}
		effects, others := "none", ""
		if o.Create {
			effects = "maybe"
		}
		if len(all) > 1 {
			others = outcomeText(all[1][i])
		}
		r.cells = fmt.Sprintf("%s | %s | %s", effects, outcomeText(o), others)
		rows = append(rows, r)
	}
	return rows, nil
}

func outcomeText(o unwell.Outcome) string { return fmt.Sprintf("%s; %d", o.Seen, o.Arrivals) }
