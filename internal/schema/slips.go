package schema

import (
	"fmt"
	"strings"
)

// withoutSyntax is said once of a file in place of what follows in each of its fields.
const withoutSyntax = "the file does not say its syntax, so that it is read as proto2, in which each field begins with optional, repeated or required; " +
	"did you mean to begin it with `syntax = \"proto3\";`?"

// isUnlabelled reports whether a field has no label where proto2 wants one.
func isUnlabelled(diagnostic *finding) bool {
	return strings.Contains(diagnostic.Message(), "unexpected type name") && !diagnostic.Primary().IsZero()
}

// saysSyntax reports whether a file begins with its syntax or edition.
func saysSyntax(file *sourceFile) bool {
	text := strings.TrimPrefix(file.Text(), "\ufeff")
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v")
		var end string
		switch {
		case strings.HasPrefix(text, "//"):
			end = "\n"
		case strings.HasPrefix(text, "/*"):
			end = "*/"
		default:
			return strings.HasPrefix(text, "syntax") || strings.HasPrefix(text, "edition")
		}
		_, text, _ = strings.Cut(text, end)
	}
}

// forgottenColon says what is missing behind the name of a field within an option; "" where
// it is something else.
func forgottenColon(diagnostic *finding) string {
	at := diagnostic.Primary()
	if at.IsZero() || !strings.Contains(diagnostic.Message(), "message expression") && !strings.Contains(diagnostic.Message(), "`=` in expression") {
		return ""
	}
	text := at.File.Text()
	if name := at.Text(); name == identifier(name) && name != "" {
		if next := strings.TrimLeft(text[at.End:], " \t\r\n"); next != "" && strings.IndexByte(":{[<", next[0]) < 0 {
			return fmt.Sprintf("; did you mean `%s:`?", name)
		}
		return ""
	}
	if before := strings.TrimRight(text[:at.Start], " \t\r\n"); at.Text() == "=" && before != "" && identifier(before[len(before)-1:]) != "" {
		return "; within { } a value follows a colon: did you mean `:`?"
	}
	return ""
}
