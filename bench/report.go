package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
)

// row is one line of the table. NaN stands for "does not apply".
type row struct {
	label     string
	figure    float64 // In the scenario's unit.
	allocs    float64 // Heap allocations per request or message.
	ratio     float64 // The subject's figure to this one's, median of the rounds.
	low, high float64 // The smallest and the largest of them.
	goal      float64 // The ratio to reach; for a row without ratio, the figure. Zero: none, unless bounded.
	// bounded: there is a goal, though it is zero.
	bounded bool
	// cells stand in place of all but the goal where the scenario has its own head.
	cells string
	// rate is how many calls a second the client has made; zero: it is not in the table.
	rate float64
}

// met reports whether the goal, if there is one, is reached.
func (r row) met() bool {
	switch {
	case r.goal == 0 && !r.bounded:
		return true
	case math.IsNaN(r.ratio):
		return r.figure <= r.goal
	default:
		return r.ratio <= r.goal
	}
}

// writeHead says what was run where.
func writeHead(out io.Writer, s settings) error {
	note := ""
	if s.subject == subjectSelf {
		note = " grpc-gateway stands in Transom's place: this tries the harness, every ratio to it should be 1."
	}
	_, err := fmt.Fprintf(out, "%d CPUs (%s), %s. Medians of %d rounds of %v; in brackets the smallest and largest round.%s\n",
		runtime.NumCPU(), cpuModel(), runtime.Version(), s.rounds, s.time, note)
	return err
}

// writeRows writes the table of a scenario, or why there is none.
func writeRows(out io.Writer, sc scenario, rows []row, failure error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s: %s\n\n", sc.name, sc.title)
	switch {
	case failure != nil:
		fmt.Fprintf(&b, "Failed: %v\n", failure)
	case sc.head != "":
		b.WriteString(sc.head)
		for _, r := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.label, r.cells, r.goalText())
		}
	default:
		rate, line := "", ""
		if rows[0].rate > 0 {
			rate, line = "calls/s | ", " ---: |"
		}
		fmt.Fprintf(&b, "| | %s | %sallocations | %s ÷ this | goal |\n| --- | ---: |%s ---: | ---: | ---: |\n", sc.unit, rate, rows[0].label, line)
		for _, r := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s%s | %s | %s |\n", r.label, number(r.figure), r.rateText(), number(r.allocs), r.ratioText(), r.goalText())
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r row) ratioText() string {
	if math.IsNaN(r.ratio) {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", r.ratio, r.low, r.high)
}

// rateText is the cell of calls per second, where there is one.
func (r row) rateText() string {
	if r.rate == 0 {
		return ""
	}
	return number(r.rate) + " | "
}

func (r row) goalText() string {
	switch {
	case r.goal == 0 && !r.bounded:
		return ""
	case r.met():
		return r.bound() + " reached"
	default:
		return r.bound() + " **missed**"
	}
}

func (r row) bound() string {
	if r.goal == 0 {
		return "0"
	}
	return fmt.Sprintf("≤ %v", r.goal)
}

// number writes three digits that count.
func number(f float64) string {
	switch {
	case math.IsNaN(f):
		return ""
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.0f", f)
	}
}

// missed returns an error for every goal of a scenario that was not reached.
func missed(sc scenario, rows []row) []error {
	var errs []error
	for _, r := range rows {
		if !r.met() {
			errs = append(errs, fmt.Errorf("%s: goal missed at %q: %s", sc.name, r.label, r.goalText()))
		}
	}
	return errs
}

// cpuModel returns what the system calls its processor.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
