// Package config reads transom.yaml, the YAML form of transom.v1.Config, and
// finds everything in it that is wrong, each problem with its place. It opens
// the files that the configuration refers to only to see that they are there or
// to read a secret; what stands in protos, keys and certificates it leaves to
// those who use them.
//
//	file, problems := config.Load("transom.yaml")
package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"

	"github.com/transom-gateway/transom/internal/regularfile"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxFile is the largest configuration and the largest file that a file:
// reference may name, in bytes.
const maxFile = 4 << 20

// File is a configuration and where its parts stand.
type File struct {
	// Config has environment variables and file: references replaced and the
	// defaults of its own messages filled in, as far as ForFlags documents them.
	// It holds secrets in the clear.
	Config *transomv1.Config
	// Path is the file's name as it was given; "" for a configuration that is not
	// from a file.
	Path string
	// Directory is what relative names in the configuration start from; "" is the
	// working directory.
	Directory string
	// Sum is the SHA-256 of the file as it stands on the disk, in hexadecimal digits, as
	// sha256sum writes it; "" for a configuration that is not from a file.
	Sum string
	// References are the files that file: references named: a change of one is a
	// change of the configuration.
	References []string

	places places
	// wrong are the paths of what problems were found in.
	wrong []string
	// flags names what the command line says, by the path of its value: that is what
	// people can mend. "" is a value that names itself.
	flags map[string]string
}

// Load reads the file at path and the process's environment. With problems the
// File must not be served; it is nil if nothing of it could be read.
func Load(path string) (*File, Problems) {
	data, err := readBounded(path)
	if err != nil {
		return nil, Problems{{Message: unreadable(path, err)}}
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse is Load for the content of a file. name is for problems, and its folder
// is what relative names start from. env looks up a variable; nil is an empty
// environment.
func Parse(name string, data []byte, env func(string) (string, bool)) (*File, Problems) {
	sum := sha256.Sum256(data)
	f := &File{Config: &transomv1.Config{}, Path: name, Directory: filepath.Dir(name), Sum: hex.EncodeToString(sum[:]), places: places{}}
	root, problem := parseYAML(name, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	d := &decoder{file: f, env: env, budget: maxNodes, open: map[*yaml.Node]bool{}}
	if root != nil {
		d.message("", root, f.Config.ProtoReflect())
	}
	fillDefaults(f.Config)
	c := &checker{file: f, broken: d.broken}
	c.config(f.Config)
	return f, slices.Concat(d.problems, c.problems).Sorted()
}

// Check looks for what is wrong with f.Config beyond its form, as Parse does.
func (f *File) Check() Problems {
	c := &checker{file: f}
	c.config(f.Config)
	return c.problems.Sorted()
}

// Resolve gives a file name of the configuration as seen from the working
// directory.
func (f *File) Resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.Directory, name)
}

// parseYAML gives the root of the only document; nil for an empty one.
func parseYAML(name string, data []byte) (*yaml.Node, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, syntaxProblem(name, data, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &Problem{File: name, Line: second.Line, Column: 1, Message: "found a second YAML document, expected one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(name, data, err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// yamlHints say what to look for, by a part of the YAML parser's words.
var yamlHints = map[string]string{
	"cannot start any token":         "indent with spaces, not tabs, and quote text that begins with @, % or `",
	"mapping values are not allowed": "is this line, or the one above it, indented too far? Text with \": \" in it must be quoted",
	"did not find expected key":      "is this line, or one above it, indented too far or not enough?",
}

// syntaxProblem gives the YAML parser's error a place: where something is wrong, else the
// line that the parser names.
func syntaxProblem(name string, data []byte, err error) *Problem {
	p := &Problem{File: name, Line: 1, Column: 1, Message: "not YAML: " + err.Error()}
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return p
	}
	if line, err := strconv.Atoi(m[1]); err == nil {
		p.Line = line
	}
	p.Message = "not YAML: " + m[2]
	found := findSuspect(data)
	if found != nil {
		p.Line, p.Column = found.line, found.column
		if found.hint != "" {
			p.Message += "; " + found.hint
			return p
		}
	}
	for said, hint := range yamlHints {
		if strings.Contains(m[2], said) {
			p.Message += "; " + hint
			return p
		}
	}
	if found != nil {
		p.Message += "; is this line, or one above it, indented too far or not enough?"
	}
	return p
}

// unreadable says why the configuration cannot be read.
func unreadable(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("cannot read the configuration: %s: there is no such file; `transom init DIR` writes one to start from", path)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Sprintf("cannot read the configuration: %s is a folder, expected a file", path)
	case errors.Is(err, regularfile.ErrIrregular):
		return fmt.Sprintf("cannot read the configuration: %s is no regular file, but a pipe, a socket or a device; write it to a file", path)
	}
	return fmt.Sprintf("cannot read the configuration: %v", err)
}

// readBounded reads a regular file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	data, err := regularfile.Read(path, maxFile)
	if errors.Is(err, regularfile.ErrTooLarge) {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}
