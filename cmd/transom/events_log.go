package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/log"
)

func newEventsLog(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Verify or print the log of events on disk",
		Args:  takes(0, 0, "verify or dump"),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "verify DIRECTORY",
		Short: "Read all records of a log and say what is damaged; nothing is changed",
		Long: `Verify reads the log of events in a directory: the "events" of a data directory, or the
folder of one process in it. Nothing is changed, and a gateway may write meanwhile. The
exit code is 1 if something is damaged.`,
		Example: "  transom events log verify /var/lib/transom/events",
		Args:    takes(1, 1, "the directory of a log"),
		RunE:    func(_ *cobra.Command, args []string) error { return verifyLog(s, args[0]) },
	})
	c.AddCommand(&cobra.Command{
		Use:     "dump DIRECTORY",
		Short:   "Print the events of a log, one CloudEvent in JSON a line",
		Example: "  transom events log dump /var/lib/transom/events",
		Args:    takes(1, 1, "the directory of a log"),
		RunE:    func(_ *cobra.Command, args []string) error { return dumpLog(s, args[0]) },
	})
	return c
}

// logFolders are the folders of processes in a directory, or the directory where it is one.
func logFolders(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil && n > 0 && strconv.Itoa(n) == entry.Name() && entry.IsDir() {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return []string{directory}, nil
	}
	slices.Sort(numbers)
	var all []string
	for _, n := range numbers {
		all = append(all, filepath.Join(directory, strconv.Itoa(n)))
	}
	return all, nil
}

func verifyLog(s streams, directory string) error {
	folders, err := logFolders(directory)
	if err != nil {
		return problem(err)
	}
	damaged := 0
	for _, folder := range folders {
		others := 0
		report, err := log.Inspect(folder, func(r log.Record) error {
			if _, err := events.ParseRecord(r.Body); err != nil {
				others++
				_, _ = fmt.Fprintf(s.out, "%s: record %d: %v\n", folder, r.Offset, err)
			}
			return nil
		})
		if err != nil {
			return problem(err)
		}
		for _, text := range report.Problems {
			_, _ = fmt.Fprintf(s.out, "%s: %s\n", folder, text)
		}
		damaged += others + len(report.Problems)
		_, _ = fmt.Fprintf(s.out, "%s: %d records in %d segments, offsets %d to %d\n", folder, report.Records, report.Segments, report.First, report.Next)
		names := make([]string, 0, len(report.Sinks))
		for name := range report.Sinks {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			_, _ = fmt.Fprintf(s.out, "%s: sink %s goes on with offset %d, %d behind\n", folder, name, report.Sinks[name], report.Next-min(report.Next, report.Sinks[name]))
		}
	}
	if damaged > 0 {
		return problem(fmt.Errorf("%d pieces are damaged", damaged))
	}
	return nil
}

func dumpLog(s streams, directory string) error {
	folders, err := logFolders(directory)
	if err != nil {
		return problem(err)
	}
	var line []byte
	for _, folder := range folders {
		_, err := log.Inspect(folder, func(r log.Record) error {
			parsed, err := events.ParseRecord(r.Body)
			if err != nil || parsed.Event == nil {
				return nil // verify tells of it
			}
			line = append(cloudevents.AppendJSON(line[:0], parsed.Event), '\n')
			_, err = s.out.Write(line)
			return err
		})
		if err != nil {
			return problem(err)
		}
	}
	return nil
}
