package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// patch lays what a page says over a proto file: a message replaces the one of
// its name, a service's options are added, its methods replace those of their
// names or join them, imports are added.
func patch(t *testing.T, path, text string) {
	t.Helper()
	proto := readPage(t, path)
	for _, d := range declarations(text) {
		switch d.kind {
		case "import":
			if !strings.Contains(proto, d.text) {
				proto = strings.Replace(proto, "\nimport ", "\n"+d.text+"\nimport ", 1)
			}
		case "service":
			proto = patchService(t, proto, d)
		default:
			proto = replaceDeclaration(t, proto, d)
		}
	}
	if err := os.WriteFile(path, []byte(proto), 0o600); err != nil {
		t.Fatal(err)
	}
}

func patchService(t *testing.T, proto string, service declaration) string {
	t.Helper()
	head := "service " + service.name + " {"
	_, inside, _ := strings.Cut(service.text, "{")
	for _, d := range declarations(inside[:strings.LastIndexByte(inside, '}')]) {
		if d.kind == "rpc" && regexp.MustCompile(`\brpc `+d.name+`\(`).MatchString(proto) {
			proto = replaceDeclaration(t, proto, d)
			continue
		}
		if !strings.Contains(proto, head) {
			t.Fatalf("line %q: there is no such service", head)
		}
		proto = strings.Replace(proto, head, head+"\n  "+d.text, 1)
	}
	return proto
}

// replaceDeclaration puts a declaration in the place of that of its name.
func replaceDeclaration(t *testing.T, proto string, d declaration) string {
	t.Helper()
	at := regexp.MustCompile(`(?m)^ *` + d.kind + " " + d.name + `\b`).FindStringIndex(proto)
	if at == nil {
		t.Fatalf("there is no %s %s to replace", d.kind, d.name)
	}
	return proto[:at[0]] + d.text + proto[at[0]+declarationEnd(proto[at[0]:]):]
}

// declaration is one statement of a proto file with its braces.
type declaration struct{ kind, name, text string }

var declarationHead = regexp.MustCompile(`(?m)^ *(import|option|rpc|message|service) +"?([\w./()]*\w\)?)`)

// declarations lists the statements of the outermost level.
func declarations(text string) []declaration {
	var all []declaration
	for {
		at := declarationHead.FindStringSubmatchIndex(text)
		if at == nil {
			return all
		}
		d := declaration{kind: text[at[2]:at[3]], name: text[at[4]:at[5]]}
		d.name, _, _ = strings.Cut(d.name, "(")
		text = text[at[0]:]
		end := declarationEnd(text)
		d.text = strings.TrimSpace(text[:end])
		all = append(all, d)
		text = text[end:]
	}
}

// declarationEnd finds the semicolon or the closing brace that ends a
// statement. Strings with braces in pairs, as path templates have, do no harm;
// other strings are skipped by quotes.
func declarationEnd(text string) int {
	depth, quote := 0, byte(0)
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 && !strings.HasPrefix(strings.TrimLeft(text[i+1:], " \n"), ";") {
				return i + 1
			}
		case c == ';' && depth == 0:
			return i + 1
		}
	}
	return len(text)
}
