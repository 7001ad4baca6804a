package schema

import (
	"fmt"
	"strings"
	"time"
)

// The compiler's words for a duration that is written as in transom.yaml, and for the
// unit behind its number.
const (
	notDuration = "expected `google.protobuf.Duration`, found "
	notDigit    = "invalid digit in "
)

// durationHint says how a duration is written in a proto, for what stands in its place:
// a number, a text, or a number with a unit.
func durationHint(written string) string {
	text := strings.Trim(written, `"'`)
	length, err := time.ParseDuration(text)
	if err != nil {
		length, err = time.ParseDuration(text + "s")
	}
	if err != nil {
		return "; a duration is a message here: write one such as `{ seconds: 60 }`"
	}
	var fields []string
	if seconds := length / time.Second; seconds != 0 || length == 0 {
		fields = append(fields, fmt.Sprintf("seconds: %d", seconds))
	}
	if nanos := length % time.Second; nanos != 0 {
		fields = append(fields, fmt.Sprintf("nanos: %d", nanos))
	}
	return fmt.Sprintf("; a duration is a message here: write `{ %s }`", strings.Join(fields, " "))
}

// unitsOfDurations are the errors, by index, about a unit such as the "s" of 60s, where
// another error says already that a message is expected there.
func unitsOfDurations(found *findings, explained [][]explanation) map[int]bool {
	var digits map[*sourceFile][]int
	for i := range found.Diagnostics {
		d := &found.Diagnostics[i]
		if at := d.Primary(); strings.HasPrefix(d.Message(), notDigit) && !at.IsZero() {
			if digits == nil {
				digits = map[*sourceFile][]int{}
			}
			digits[at.File] = append(digits[at.File], i) // of one file they are few
		}
	}
	units := map[int]bool{}
	for i := range found.Diagnostics {
		at := found.Diagnostics[i].Primary()
		if digits == nil || at.IsZero() || !isNoDuration(explained[i]) {
			continue
		}
		for _, j := range digits[at.File] {
			if start := found.Diagnostics[j].Primary().Start; at.Start <= start && start < at.End {
				units[j] = true
			}
		}
	}
	return units
}

func isNoDuration(explained []explanation) bool {
	for _, e := range explained {
		if e.primary && strings.Contains(e.message, notDuration) {
			return true
		}
	}
	return false
}
