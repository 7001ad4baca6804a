package resilient

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Watch writes a line a second: what the callers did and saw, what arrived at the
// stations, and what the gateway did about it, by the metrics of its admin listener.
type Watch struct {
	Callers *Callers
	Fleet   Fleet
	// Admin is the URL of the gateway's admin listener.
	Admin string
	Out   io.Writer

	calls, errors int64
	arrivals      []int64
	counts        map[string]float64
}

// counted are metrics of the gateway, and what a line calls them.
var counted = []struct{ metric, name string }{
	{"transom_retries_total", "retried"},
	{"transom_hedges_total", "of these beside another"},
	{"transom_endpoint_ejections_total", "ejected"},
}

// Run writes until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.write(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watch) write(ctx context.Context) {
	calls, errors := w.Callers.Calls(), w.Callers.Errors()
	var line strings.Builder
	fmt.Fprintf(&line, "%s  %3d calls, %d errors, slowest %4d ms |", time.Now().Format(time.TimeOnly), calls-w.calls, errors-w.errors, w.Callers.Slowest().Milliseconds())
	w.calls, w.errors = calls, errors
	if w.arrivals == nil {
		w.arrivals = make([]int64, len(w.Fleet))
	}
	for i, s := range w.Fleet {
		n := s.Calls()
		fmt.Fprintf(&line, " %s %-7s %3d", s.Name, s.State(), n-w.arrivals[i])
		w.arrivals[i] = n
	}
	line.WriteString(" |")
	counts, err := metrics(ctx, w.Admin)
	if ctx.Err() != nil {
		return // it is over
	}
	if err != nil {
		fmt.Fprintf(&line, " no metrics: %v", err)
	} else {
		for i, c := range counted {
			fmt.Fprintf(&line, "%s %.0f %s", ","[:min(i, 1)], counts[c.metric]-w.counts[c.metric], c.name)
		}
		w.counts = counts
	}
	_, _ = fmt.Fprintln(w.Out, line.String()) // whether anybody can read it is not ours to say
}

// metrics are the sums of the gateway's metrics by their names.
func metrics(ctx context.Context, admin string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	sums := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if i := strings.IndexByte(lines.Text(), '}'); i >= 0 {
			name, _, _ = strings.Cut(name, "{")
			rest = lines.Text()[i+1:]
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
			sums[name] += n
		}
	}
	return sums, lines.Err()
}
