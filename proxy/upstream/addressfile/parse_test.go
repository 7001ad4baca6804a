package addressfile

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestParse: Traffic 176: a list of addresses in YAML or JSON.
func TestParse(t *testing.T) {
	whole := []Address{
		{Address: "10.0.0.1:50051", Weight: 1},
		{Address: "books-2.example:50051", Weight: 3, Priority: 1, Zone: "eu-1a"},
		{Address: "[2001:db8::1]:50051", Weight: 0},
	}
	for name, test := range map[string]struct {
		text string
		want []Address
	}{
		"YAML": {"# by hand\n- 10.0.0.1:50051\n- address: books-2.example:50051\n  weight: 3\n  priority: 1\n  zone: eu-1a\n- { address: \"[2001:db8::1]:50051\", weight: 0 }\n", whole},
		"JSON": {"[\n\t\"10.0.0.1:50051\",\n\t{\"address\": \"books-2.example:50051\", \"weight\": 3, \"priority\": 1, \"zone\": \"eu-1a\"},\n\t{\"address\": \"[2001:db8::1]:50051\", \"weight\": 0}\n]\n", whole},
		"none": {"", nil}, "a comment": {"# nobody\n", nil}, "an empty list": {"[]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := Parse("a.yaml", []byte(test.text))
			if len(problems) > 0 || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v", got, problems)
			}
		})
	}
}

// TestParseProblems: Traffic 176: what is wrong is said with its place.
func TestParseProblems(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1:50051":                        `a.yaml:1:1: found a text, expected a list of addresses`,
		"addresses: []":                         `a.yaml:1:1: found a mapping, expected a list of addresses`,
		"- a:1\n- b":                            `a.yaml:2:3: found "b", expected "host:port", such as "10.0.0.1:50051"`,
		"- a:0":                                 `a.yaml:1:3: found "a:0", expected "host:port"`,
		"- http://a:80":                         `a.yaml:1:3: found "http://a:80", expected "host:port"`,
		"- ':80'":                               `a.yaml:1:3: found ":80", expected "host:port"`,
		"- 'a b:80'":                            `a.yaml:1:3: found "a b:80", expected "host:port"`,
		"-":                                     `a.yaml:1:2: found nothing, expected "host:port"`,
		"- [a:1]":                               `a.yaml:1:3: found a list, expected an address`,
		"- weight: 1":                           `a.yaml:1:3: found no address`,
		"- address: [a:1]":                      `a.yaml:1:12: found a list, expected "host:port"`,
		"- {address: a:1, wieght: 2}":           `a.yaml:1:18: found "wieght" as a key, expected one of address, weight, priority, zone; did you mean "weight"?`,
		"- {address: a:1, weight: -1}":          `a.yaml:1:26: weight: found "-1", expected a whole number from 0 to 65535`,
		"- {address: a:1, weight: 65536}":       `a.yaml:1:26: weight: found "65536", expected a whole number from 0 to 65535`,
		"- {address: a:1, priority: high}":      `a.yaml:1:28: priority: found "high"`,
		"- {address: a:1, zone: [x]}":           `a.yaml:1:24: zone: found a list, expected a name`,
		"- {address: a:1, address: b:1}":        `a.yaml:1:18: address: found a second time, expected once`,
		"- a:1\n- a:1":                          `a.yaml:2:3: found "a:1" a second time, expected each address once`,
		"- &a {address: a:1}\n- *a":             `a.yaml:2:3: found an alias, expected an address`,
		"- a:1\n---\n- b:1":                     `a.yaml:2:1: found a second YAML document, expected one`,
		"- a:1\n- b: [":                         `a.yaml:2:1: not YAML: `,
		"- " + strings.Repeat("x", 200) + ":1x": `a.yaml:1:3: found "` + strings.Repeat("x", 80) + `"…, expected`,
	} {
		_, problems := Parse("a.yaml", []byte(text))
		if len(problems) == 0 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
	if _, problems := Parse("a.yaml", []byte(strings.Repeat("- x\n", 1000))); len(problems) != maxProblems {
		t.Errorf("%d problems, want %d", len(problems), maxProblems)
	}
}

// FuzzParse: Traffic 176: whatever is in the file, an address that is taken can be
// dialed, and there are problems or addresses within their bounds.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"- 10.0.0.1:50051\n- {address: a:1, weight: 3, priority: 1, zone: z}\n", "[\"a:1\",\t{\"address\":\"b:2\"}]", "- *a", "- &a a:1\n- *a", "{}", "- a:1\n---\n- b:1", "\x00", "- !!binary aGk=",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, problems := Parse("f", data)
		if len(problems) > maxProblems+2 {
			t.Errorf("%d problems", len(problems))
		}
		if len(problems) > 0 {
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("%+v has no place", p)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, a := range all {
			if a.Address == "" || seen[a.Address] || a.Weight > maxNumber || a.Priority > maxNumber || len(a.Zone) > maxName {
				t.Errorf("%+v", a)
			}
			seen[a.Address] = true
		}
		// What was read is read again alike.
		var text strings.Builder
		for _, a := range all {
			fmt.Fprintf(&text, "- {address: %q, weight: %d, priority: %d}\n", a.Address, a.Weight, a.Priority)
		}
		again, problems := Parse("f", []byte(text.String()))
		if len(problems) > 0 || len(again) != len(all) {
			t.Errorf("%q: %v", text.String(), problems)
		}
	})
}
