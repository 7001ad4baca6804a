package openapi

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
)

// otherTexts are texts that rules in CEL may ask for in place of one: their literals, matches of those that
// are patterns, times, numbers and lengths.
func otherTexts(s *object, name, now string, rules *exprRules) list {
	format, _ := s.get("format").(string)
	pattern, _ := s.get("pattern").(string)
	switch {
	case format == "date-time":
		return list{"2124-05-17T12:30:00Z", "1974-05-17T12:30:00Z", "2024-05-17T12:30:01Z", "2024-05-18T12:30:00Z", "2025-05-17T12:30:00Z", "2124-05-18T12:30:00Z", "1974-05-18T12:30:00Z"}
	case strings.HasSuffix(format, "int64"):
		return otherNumbers(number(now), rules, func(f string) any { return f })
	case strings.HasSuffix(pattern, "s$") && strings.HasSuffix(now, "s"):
		return otherNumbers(number(strings.TrimSuffix(now, "s")), rules, func(f string) any { return f + "s" })
	case s.get("contentEncoding") == "base64":
		return otherBytes(rules)
	}
	all := list{}
	for _, text := range rules.texts {
		all = append(all, text, text+now, now+text)
		if match, ok := exampleMatch(text, 0, 0); ok {
			all = append(all, match)
		}
	}
	for _, text := range rules.numbers {
		if n, err := strconv.Atoi(text); err == nil && n < maxMatch {
			all = append(all, sized(now, n, n), sized(now, n+1, n+1), sized(now, max(n-1, 0), max(n-1, 0)), text)
		}
	}
	for turn := 1; turn < 3; turn++ {
		if other, ok := exampleText(s, name, turn); ok {
			all = append(all, other)
		}
	}
	return append(all, strings.ToUpper(now), strings.ToLower(now), strings.ToUpper(now[:min(1, len(now))])+now[min(1, len(now)):])
}

// otherBytes are bytes as base64: of the lengths that rules name, and of none.
func otherBytes(rules *exprRules) (all list) {
	for _, text := range rules.numbers {
		if n, err := strconv.ParseFloat(text, 64); err == nil && n < maxMatch {
			for _, size := range []int{int(n), int(n) + 1, int(math.Max(n-1, 0))} {
				all = append(all, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", size))))
			}
		}
	}
	for _, text := range rules.texts {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return all
}
