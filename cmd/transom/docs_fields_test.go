package main

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// pagesOf says where each field of Policy is documented.
var pagesOf = map[protoreflect.Name][]string{
	"auth":              {"auth-jwt.md", "auth-session.md", "auth-mtls.md", "authorization.md"},
	"login":             {"login.md"},
	"logout":            {"login.md"},
	"rate_limit":        {"rate-limit.md"},
	"concurrency":       {"concurrency.md"},
	"timeout":           {"timeout.md"},
	"idle_timeout":      {"timeout.md"},
	"fault":             {"fault.md"},
	"limits":            {"limits.md"},
	"validate":          {"validate.md"},
	"cors":              {"cors.md"},
	"retry":             {"retry.md"},
	"circuit_breaker":   {"circuit-breaker.md"},
	"headers":           {"headers.md"},
	"json":              {"json.md"},
	"status":            {"status.md"},
	"response_metadata": {"response-metadata.md"},
	"hidden":            {"hidden.md"},
	"split":             {"split.md"},
	"mirror":            {"mirror.md"},
	"cache":             {"cache.md"},
	"idempotency_key":   {"idempotency-key.md"},
	"events":            {"events.md"},
}

// TestPolicyFieldsAreDocumented compares the tables of the pages with the
// message: each field must have a row, each row a field. A field without a page
// must be named in the index as one that is refused, and be refused.
func TestPolicyFieldsAreDocumented(t *testing.T) {
	index := readPage(t, "../../docs/policies/README.md")
	said := map[string]bool{}
	for _, page := range policyPages(t) {
		maps.Copy(said, rowNames(readPage(t, page)))
	}
	want := map[string]bool{}
	fields := (&transomv1.Policy{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		pages, ok := pagesOf[field.Name()]
		if !ok {
			if !regexp.MustCompile("(?s)## Not yet.*`" + string(field.Name()) + "`").MatchString(index) {
				t.Errorf("%s has no page: write one and name it here, or name the field under \"Not yet\" in the index", field.Name())
			}
			checkRefused(t, field)
			continue
		}
		here := map[string]bool{}
		for _, page := range pages {
			text := readPage(t, filepath.Join("../../docs/policies", page))
			maps.Copy(here, rowNames(text))
			if !strings.Contains(index, "("+page+")") {
				t.Errorf("the index does not link to %s", page)
			}
		}
		for _, path := range fieldPaths(field, "", map[protoreflect.FullName]bool{}) {
			if !here[path] {
				t.Errorf("%s: no row for `%s`", strings.Join(pages, ", "), path)
			}
		}
		for _, path := range fieldPaths(field, "", nil) {
			want[path] = true
		}
		checkEnums(t, field, strings.Join(pages, ", "), func(name string) bool {
			return slices.ContainsFunc(pages, func(page string) bool {
				return strings.Contains(readPage(t, filepath.Join("../../docs/policies", page)), "`"+name+"`")
			})
		})
	}
	for path := range said {
		top, _, _ := strings.Cut(strings.ReplaceAll(path, "[]", ""), ".")
		if _, isField := pagesOf[protoreflect.Name(top)]; isField && !want[path] {
			t.Errorf("a page has a row for `%s`, which is no field of Policy", path)
		}
	}
}

// checkRefused checks that the index is right about a field.
func checkRefused(t *testing.T, field protoreflect.FieldDescriptor) {
	t.Helper()
	value := "{}"
	if field.IsList() {
		value = "[{}]"
	}
	dir := folder(t, map[string]string{"protos/p.proto": goodProto, "transom.yaml": "schemas: [{ directory: ./protos }]\n" +
		"upstreams: { a: { grpc: { target: \"localhost:1\" } } }\ndefaults: { " + string(field.Name()) + ": " + value + " }\n"})
	code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != exitProblem || !strings.Contains(err, string(field.Name())) {
		t.Errorf("the index says that %s is refused; check gives %d %s", field.Name(), code, err)
	}
}

// TestConfigurationIsDocumented does the same for docs/configuration.md.
func TestConfigurationIsDocumented(t *testing.T) {
	page := readPage(t, "../../docs/configuration.md")
	said, want := rowNames(page), map[string]bool{}
	fields := (&transomv1.Config{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		for _, path := range fieldPaths(fields.Get(i), "", map[protoreflect.FullName]bool{}) {
			if !said[path] {
				t.Errorf("docs/configuration.md: no row for `%s`", path)
			}
		}
		for _, path := range fieldPaths(fields.Get(i), "", nil) {
			want[path] = true
		}
		checkEnums(t, fields.Get(i), "docs/configuration.md", func(name string) bool { return strings.Contains(page, "`"+name+"`") })
	}
	for path := range said {
		if !want[path] {
			t.Errorf("docs/configuration.md has a row for `%s`, which is no field of Config", path)
		}
	}
}

// fieldPaths lists a field and all below it, "[]" behind lists and ".NAME"
// behind maps. The way ends at messages of others and at a Policy within a
// configuration. Where listed is not nil, it ends at messages that were listed
// before, too: the rows of the second place may refer to the first's.
func fieldPaths(field protoreflect.FieldDescriptor, prefix string, listed map[protoreflect.FullName]bool) []string {
	path := prefix + string(field.Name())
	m := field.Message()
	if field.IsMap() {
		m = field.MapValue().Message()
	}
	if m == nil || m.ParentFile().Package() != "transom.v1" || m.Name() == "Policy" || listed[m.FullName()] {
		return []string{path}
	}
	if listed != nil {
		listed[m.FullName()] = true
	}
	var paths []string
	switch {
	case field.IsMap():
		path += ".NAME"
	case field.IsList():
		path += "[]"
	case prefix != "" || m.Fields().Len() == 0:
		paths = append(paths, path) // it may be there and empty
	}
	for i := range m.Fields().Len() {
		paths = append(paths, fieldPaths(m.Fields().Get(i), path+".", listed)...)
	}
	return paths
}

// checkEnums checks that each value of the enums below a field is named.
func checkEnums(t *testing.T, field protoreflect.FieldDescriptor, where string, has func(string) bool) {
	t.Helper()
	if enum := field.Enum(); enum != nil {
		for i := range enum.Values().Len() {
			name := string(enum.Values().Get(i).Name())
			if !strings.HasSuffix(name, "_UNSPECIFIED") && !has(name) {
				t.Errorf("%s: `%s` of %s is not named", where, name, field.FullName())
			}
		}
	}
	if m := field.Message(); m != nil && m.ParentFile().Package() == "transom.v1" && m.Name() != "Policy" && !field.IsMap() {
		for i := range m.Fields().Len() {
			checkEnums(t, m.Fields().Get(i), where, has)
		}
	}
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// rowNames are the names in the first column of the tables whose head is "field"
// or "key".
func rowNames(page string) map[string]bool {
	found := map[string]bool{}
	inTable := false
	for line := range strings.Lines(page) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case strings.TrimSpace(first) == "field" || strings.TrimSpace(first) == "key":
			inTable = true
		case inTable:
			for _, name := range codeSpan.FindAllStringSubmatch(first, -1) {
				found[name[1]] = true
			}
		}
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinks checks that what the pages link to is there.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, policyPages(t)...), "../../README.md", "../../CONTRIBUTING.md", "../../examples/bookstore/README.md")
	for _, page := range pages {
		for _, found := range link.FindAllStringSubmatch(readPage(t, page), -1) {
			target := filepath.Join(filepath.Dir(page), found[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			} else if anchor := strings.TrimPrefix(found[2], "#"); anchor != "" && !hasHeading(t, target, anchor) {
				t.Errorf("%s links to %s, which has no heading %s", page, found[1], anchor)
			}
		}
	}
}

// hasHeading reports whether a page has a heading with an anchor, as GitHub makes
// them.
func hasHeading(t *testing.T, path, anchor string) bool {
	t.Helper()
	for s := bufio.NewScanner(strings.NewReader(readPage(t, path))); s.Scan(); {
		if title, ok := strings.CutPrefix(strings.TrimLeft(s.Text(), "#"), " "); ok && strings.HasPrefix(s.Text(), "#") {
			plain := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(title), "")
			if strings.ReplaceAll(plain, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}
