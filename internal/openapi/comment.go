package openapi

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// comment is what stands before a declaration, or behind it.
type comment struct {
	// summary is the first paragraph on one line, rest what follows it.
	summary, rest string
}

// whole is all of it.
func (c comment) whole() string {
	if c.rest == "" {
		return c.summary
	}
	return c.summary + "\n\n" + c.rest
}

var (
	// internalNote is what only those who write the API are told (AIP-192).
	// One without an end goes on to that of the comment.
	internalNote = regexp.MustCompile(`(?s)\(--.*?--\)|\(--\s.*\z`)
	// protoLink is a reference to an element of a proto, such as [Book][library.v1.Book].
	protoLink = regexp.MustCompile(`\[([^\[\]]+)\]\[([A-Za-z_][A-Za-z0-9_.]*)\]`)
	// directive is a line for a linter.
	directive = regexp.MustCompile(`^(buf:lint:ignore\b|api-linter:|protolint:|@exclude\b)`)
)

// commentOf reads the comment of an element.
func commentOf(d protoreflect.Descriptor) comment {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	return parseComment(at.LeadingComments + "\n\n" + at.TrailingComments)
}

// parseComment reads the text of a comment (Surface 218).
func parseComment(text string) comment {
	if strings.TrimSpace(text) == "" {
		return comment{}
	}
	text = internalNote.ReplaceAllString(text, "")
	text = protoLink.ReplaceAllString(text, "$1")
	var paragraphs []string
	var lines []string
	end := func() {
		if len(lines) > 0 {
			paragraphs = append(paragraphs, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		line = strings.TrimPrefix(line, " ")
		switch {
		case directive.MatchString(strings.TrimSpace(line)):
		case strings.TrimSpace(line) == "":
			end()
		default:
			lines = append(lines, line)
		}
	}
	end()
	if len(paragraphs) == 0 {
		return comment{}
	}
	summary := strings.Join(strings.Fields(paragraphs[0]), " ")
	return comment{summary, strings.Join(paragraphs[1:], "\n\n")}
}
