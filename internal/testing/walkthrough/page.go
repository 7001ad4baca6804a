// Package walkthrough reads the fenced blocks of a page of documentation and
// runs its commands, so that what a page shows is what happens. It knows Markdown
// and a shell, and nothing of Transom.
//
//	shell := walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", address}}
//	shell.Run(t, walkthrough.Steps(page))
//
// A block ```console holds commands behind "$ " and what each prints; "…" there
// stands for anything. A block ```yaml file=transom.yaml is a file.
package walkthrough

import (
	"regexp"
	"strings"
)

// Block is one fenced block of a page.
type Block struct {
	// Language is the first word behind the fence, for example "proto".
	Language string
	// File is what "file=" behind the language says; empty without it.
	File string
	// Text is what stands between the fences; it ends with a line break.
	Text string
	// Line is the number of its first line in the page, from 1.
	Line int
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]+)(?: file=(\\S+))?\n(.*?)^```$")

// Blocks lists the fenced blocks of a page that name a language.
func Blocks(page string) []Block {
	var all []Block
	for _, at := range fenced.FindAllStringSubmatchIndex(page, -1) {
		b := Block{Language: page[at[2]:at[3]], Text: page[at[6]:at[7]], Line: 2 + strings.Count(page[:at[0]], "\n")}
		if at[4] >= 0 {
			b.File = page[at[4]:at[5]]
		}
		all = append(all, b)
	}
	return all
}

// Step is a command of a page and what it prints.
type Step struct {
	// Command is what stands behind "$ ". A line that begins with "> " goes on
	// with it.
	Command string
	// Printed is what the page shows, and Want the pattern it stands for.
	Printed string
	Want    *regexp.Regexp
	// Line is the number of the command's line in the page, from 1.
	Line int
}

// Steps lists the commands of all console blocks of a page.
func Steps(page string) []Step {
	var all []Step
	for _, b := range Blocks(page) {
		if b.Language == "console" {
			all = append(all, b.steps()...)
		}
	}
	return all
}

func (b Block) steps() []Step {
	var all []Step
	var printed []string
	flush := func() {
		if n := len(all); n > 0 {
			all[n-1].Printed = strings.TrimSpace(strings.Join(printed, "\n"))
			all[n-1].Want = pattern(all[n-1].Printed)
		}
		printed = nil
	}
	for i, line := range strings.Split(b.Text, "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		more, goesOn := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			flush()
			all = append(all, Step{Command: command, Line: b.Line + i})
		case goesOn && len(all) > 0 && len(printed) == 0:
			all[len(all)-1].Command += "\n" + more
		default:
			printed = append(printed, line)
		}
	}
	flush()
	return all
}

// pattern matches output that has all of the text, in order; "…" is anything.
func pattern(printed string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(printed), "…", `(?s:.*)`))
}
