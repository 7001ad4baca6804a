package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadme runs the commands of the README's tour and compares what they
// print. In the README "…" stands for anything.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "transom"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tours := regexp.MustCompile(`(?s)<!-- tour: (\w+) -->(.*?)<!-- end -->`).FindAllStringSubmatch(string(text), -1)
	if len(tours) != 2 {
		t.Fatalf("the README has %d tours, want 2", len(tours))
	}
	for _, tour := range tours {
		t.Run(tour[1], func(t *testing.T) {
			address := ""
			if tour[1] == "demo" {
				address = strings.TrimPrefix(startDemo(t).url, "http://")
			}
			dir := t.TempDir()
			for _, step := range steps(tour[2]) {
				line := strings.ReplaceAll(step.command, "localhost:8080", address)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				shell := exec.CommandContext(ctx, "bash", "-c", line)
				shell.Dir = dir
				shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				out, err := shell.CombinedOutput()
				cancel()
				if err != nil {
					t.Errorf("$ %s\n%v\n%s", step.command, err, out)
				}
				if !step.want.Match(out) {
					t.Errorf("$ %s\nprinted\n%s\nwant %s", step.command, out, step.want)
				}
			}
		})
	}
}

type step struct {
	command string
	want    *regexp.Regexp
}

// steps finds the commands in the console blocks and what they print.
func steps(tour string) []step {
	var all []step
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(tour, -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, printed, _ := strings.Cut(part, "\n")
			pattern := regexp.QuoteMeta(strings.TrimSpace(printed))
			pattern = strings.ReplaceAll(pattern, "…", `(?s:.*)`)
			all = append(all, step{command: command, want: regexp.MustCompile(pattern)})
		}
	}
	return all
}
