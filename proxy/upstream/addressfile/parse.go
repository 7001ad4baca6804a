package addressfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/problem"
)

const (
	// maxProblems bounds what is said of one file.
	maxProblems = 20
	// maxNumber is the largest weight and the largest priority, as in SRV records.
	maxNumber = 1<<16 - 1
	// maxName bounds the name of a zone, in bytes.
	maxName = 253
)

// Problems are what is wrong with a list.
type Problems = problem.List

// Parse reads a list of addresses in YAML or JSON: texts "host:port", or mappings of
// address, weight, priority and zone. name is for the problems, of which any means
// that the list must not be used.
func Parse(name string, data []byte) ([]Address, Problems) {
	p := &parser{name: name, seen: map[string]bool{}}
	root := p.document(data)
	if root == nil {
		return nil, p.problems
	}
	if root.Kind != yaml.SequenceNode {
		p.fail(root, "found %s, expected a list of addresses", kindOf(root))
		return nil, p.problems
	}
	var all []Address
	for _, entry := range root.Content {
		if len(p.problems) == maxProblems {
			break
		}
		all = append(all, p.entry(entry))
	}
	return all, p.problems
}

type parser struct {
	name     string
	seen     map[string]bool // addresses
	problems problem.List
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.problems = append(p.problems, problem.Problem{File: p.name, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// document returns the only document of the file; nil for an empty file, and where the
// file is no YAML.
func (p *parser) document(data []byte) *yaml.Node {
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && (start[0] == '[' || start[0] == '{') {
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" ")) // which JSON may have and YAML may not
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		p.problems = append(p.problems, p.syntax(err))
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		p.fail(&second, "found a second YAML document, expected one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.problems = append(p.problems, p.syntax(err))
		return nil
	}
	if len(document.Content) == 0 {
		return nil
	}
	return document.Content[0]
}

var lineOf = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// syntax is what the YAML parser says, whose place is a line at most.
func (p *parser) syntax(err error) problem.Problem {
	text := err.Error()
	found := lineOf.FindStringSubmatch(text)
	if found == nil {
		return problem.Problem{File: p.name, Line: 1, Column: 1, Message: "not YAML: " + text}
	}
	line, _ := strconv.Atoi(found[1]) // 0 where it says none
	return problem.Problem{File: p.name, Line: max(line, 1), Column: 1, Message: "not YAML: " + text[len(found[0]):]}
}

// entry reads one element of the list.
func (p *parser) entry(n *yaml.Node) Address {
	a := Address{Weight: 1}
	switch n.Kind {
	case yaml.ScalarNode:
		a.Address = p.address(n)
	case yaml.MappingNode:
		p.mapping(n, &a)
	default:
		p.fail(n, `found %s, expected an address such as "10.0.0.1:50051", or a mapping with one`, kindOf(n))
	}
	return a
}

// keys are those of an entry.
var keys = []string{"address", "weight", "priority", "zone"}

func (p *parser) mapping(n *yaml.Node, a *Address) {
	read := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && len(p.problems) < maxProblems; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if read[key.Value] {
			p.fail(key, "%s: found a second time, expected once", key.Value)
			continue
		}
		read[key.Value] = true
		switch {
		case key.Kind == yaml.ScalarNode && key.Value == "address":
			a.Address = p.address(value)
		case key.Kind == yaml.ScalarNode && key.Value == "weight":
			a.Weight = p.number(value, "weight")
		case key.Kind == yaml.ScalarNode && key.Value == "priority":
			a.Priority = p.number(value, "priority")
		case key.Kind == yaml.ScalarNode && key.Value == "zone":
			a.Zone = p.zone(value)
		default:
			p.unknown(key)
		}
	}
	if !read["address"] {
		p.fail(n, `found no address, expected one such as "10.0.0.1:50051"`)
	}
}

func (p *parser) unknown(key *yaml.Node) {
	hint := ""
	if near := nearest.Of(keys, key.Value); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	p.fail(key, "found %s as a key, expected one of %s%s", quoted(key), strings.Join(keys, ", "), hint)
}

func (p *parser) address(n *yaml.Node) string {
	const expected = `expected "host:port", such as "10.0.0.1:50051"`
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		p.fail(n, "found %s, "+expected, kindOf(n))
		return ""
	}
	host, port, err := net.SplitHostPort(n.Value)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || len(host) > maxName || strings.ContainsFunc(host, notOfHost) || notNumber != nil || number == 0 {
		p.fail(n, "found %s, "+expected, quoted(n))
		return ""
	}
	if p.seen[n.Value] {
		p.fail(n, "found %s a second time, expected each address once", quoted(n))
	}
	p.seen[n.Value] = true
	return n.Value
}

// notOfHost reports whether a character is in no name and no IP address.
func notOfHost(r rune) bool {
	return r <= ' ' || r >= utf8.RuneSelf || strings.ContainsRune(`/\?#@"'[]`, r)
}

func (p *parser) number(n *yaml.Node, key string) uint32 {
	number, err := strconv.ParseUint(n.Value, 10, 32)
	if n.Kind != yaml.ScalarNode || err != nil || number > maxNumber {
		p.fail(n, "%s: found %s, expected a whole number from 0 to %d", key, quoted(n), maxNumber)
		return 0
	}
	return uint32(number)
}

func (p *parser) zone(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "" || len(n.Value) > maxName || !utf8.ValidString(n.Value) {
		p.fail(n, "zone: found %s, expected a name of at most %d bytes", quoted(n), maxName)
		return ""
	}
	return n.Value
}

// quoted is the value of a node for people, or what it is instead of one.
func quoted(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode, n.ShortTag() == "!!null":
		return kindOf(n)
	case len(n.Value) > 80:
		return fmt.Sprintf("%.80q…", n.Value)
	}
	return fmt.Sprintf("%q", n.Value)
}

// kindOf says what a node is, for people, without its value.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return "a text"
}
