package openapi

import (
	"bytes"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// pageHTML writes a page. What it has of the API is text, whatever stands in it. It is written by
// hand: html/template calls methods by reflection, with which the linker keeps all methods of the program.
type pageHTML struct {
	b    bytes.Buffer
	page *page
}

// add adds markup, in which each % stands for one of the texts.
func (h *pageHTML) add(markup string, texts ...string) {
	for _, text := range texts {
		before, after, _ := strings.Cut(markup, "%")
		h.b.WriteString(before)
		h.b.WriteString(html.EscapeString(visible(text)))
		markup = after
	}
	h.b.WriteString(markup)
}

// addIf adds markup where there is a text.
func (h *pageHTML) addIf(text, markup string) {
	if text != "" {
		h.add(markup, text)
	}
}

// write is the whole page.
func (h *pageHTML) write() []byte {
	p := h.page
	h.add(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<style>` + pageStyle + "</style>\n")
	h.add(`<title>%`, p.Title)
	if p.Service != nil {
		h.add(": %", p.Service.Name)
	}
	h.add(`</title>
<a class="skip" href="#main">Skip to the page</a>
<header>
  <p class="brand"><a href="?">%</a>`, p.Title)
	h.addIf(p.Version, " <small>%</small>")
	h.add(`</p>
  <label class="search" hidden>Search <input type="search" placeholder="a method, a path, a word"></label>
</header>
`)
	h.nav()
	h.add("<main id=\"main\">\n")
	if p.Service == nil {
		h.index()
	} else {
		h.service(p.Service)
	}
	h.add("<p class=\"none\" role=\"status\" hidden>Nothing is found.</p>\n</main>\n<script>" + pageScript + "</script>\n")
	return h.b.Bytes()
}

// nav lists the services, and the methods that the page has.
func (h *pageHTML) nav() {
	h.add("<nav aria-label=\"Methods\">\n")
	for _, s := range h.page.Services {
		own := s == h.page.Service
		current := ""
		if own {
			current = ` aria-current="page"`
		}
		h.add(`<section><h2><a href="%"`+current+`>%</a></h2>`, pageOf(s), s.Name)
		if own || h.page.Service == nil {
			h.add("<ul>")
			for _, m := range s.Methods {
				class := ""
				if m.Deprecated {
					class = ` class="old"`
				}
				h.add(`<li><a href="%"`+class+`>%</a></li>`, h.linkTo(s, m), m.Name)
			}
			h.add("</ul>")
		}
		h.add("</section>\n")
	}
	h.add("</nav>\n")
}

// pageOf is the address of a service's page.
func pageOf(s *pageService) string { return "?service=" + url.QueryEscape(s.Full) }

// linkTo is the address of a method.
func (h *pageHTML) linkTo(s *pageService, m *pageMethod) string {
	at := "#" + url.PathEscape(m.Name)
	if h.page.Service == nil {
		return pageOf(s) + at
	}
	return at
}

// index is the page of all services.
func (h *pageHTML) index() {
	p := h.page
	h.add("<h1>%</h1>\n", p.Title)
	h.text(p.Description)
	if len(p.Services) == 0 {
		h.add("<p>No method is served.</p>\n")
	}
	for _, s := range p.Services {
		h.add(`<section class="service"><h2><a href="%">`, pageOf(s))
		h.name(s.Full)
		h.add("</a></h2>")
		h.text(s.Comment)
		h.add("<ul class=\"list\">")
		for _, m := range s.Methods {
			h.add(`<li class="method"><a href="%"><b>%</b></a>`, h.linkTo(s, m), m.Name)
			if m.Deprecated {
				h.add(` <span class="note">deprecated</span>`)
			}
			if len(m.Routes) > 0 {
				h.add(" <code>% %</code>", m.Routes[0].Method, m.Routes[0].Path)
			}
			h.add("<span>")
			h.prose(m.Summary)
			h.add("</span></li>")
		}
		h.add("</ul></section>\n")
	}
}

// service is the page of one.
func (h *pageHTML) service(s *pageService) {
	h.add("<h1>")
	h.name(s.Full)
	h.add("</h1>\n")
	h.text(s.Comment)
	if h.page.Server == noServer {
		h.add(`<p class="soft">In examples <code>%</code> is where the gateway is, such as <code>https://api.example.com</code>, and words in capitals are yours to fill in.</p>`, noServer)
	}
	for _, m := range s.Methods {
		h.method(m)
	}
	if len(h.page.Types) > 0 {
		h.add("<h2 class=\"types\">Types</h2>\n")
	}
	for _, t := range h.page.Types {
		h.add(`<section class="type" id="type-%"><h3>`, t.Name)
		h.name(t.Name)
		h.add("</h3>")
		h.text(t.Comment)
		if len(t.Fields) > 0 {
			h.table(t.Name, t.head(), t.Fields, t.Enum)
		} else {
			h.add(`<p class="soft">It has no fields.</p>`)
		}
		h.add("</section>\n")
	}
}

// method is all about one.
func (h *pageHTML) method(m *pageMethod) {
	h.add(`<article class="method" id="%"><h2><a href="%">%</a>`, m.Name, "#"+url.PathEscape(m.Name), m.Name)
	h.addIf(m.Shape, ` <span class="note">%</span>`)
	if m.Deprecated {
		h.add(` <span class="note bad">deprecated</span>`)
	}
	h.add("</h2>\n<ul class=\"routes\">")
	for _, r := range m.Routes {
		h.add("<li><b>%</b> <code>%</code></li>", r.Method, r.Path)
	}
	h.addIf(m.also(), "<li><b>RPC</b> <code>%</code></li>")
	h.add("</ul>\n")
	h.text(m.Comment)
	h.add("<ul class=\"needs\">")
	for _, need := range m.Needs {
		h.add("<li>%</li>", need)
	}
	h.addIf(m.Streams, "<li>%</li>")
	h.add("</ul>\n")
	h.values(m)
	h.add("<h3>Try it</h3>\n")
	for i, s := range m.Snippets {
		open := ""
		if i == 0 {
			open = " open"
		}
		h.add("<details"+open+`><summary>%</summary><pre tabindex="0">%</pre></details>`+"\n", s.Language, s.Text)
	}
	h.errors(m.Errors)
	h.add("</article>\n")
}

// values are what a method takes and gives.
func (h *pageHTML) values(m *pageMethod) {
	if len(m.Parameters) > 0 {
		h.add("<h3>Parameters</h3>\n")
		h.table("Parameters", "Name", m.Parameters, false)
	}
	if m.Body != nil {
		h.add("<h3>Body</h3>\n")
		if len(m.Body.Fields) > 0 {
			h.table("Body", "Field", m.Body.Fields, false)
		} else {
			h.add("<p>")
			h.kind(m.Body.Type)
			h.add("</p>\n")
		}
	}
	if m.Answer != nil {
		h.add("<h3>Answer</h3>\n<p>")
		h.kind(m.Answer.Type)
		h.add(`</p><pre tabindex="0">%</pre>`+"\n", m.Answer.Example)
	}
}

// errors lists errors.
func (h *pageHTML) errors(all []pageError) {
	if len(all) == 0 {
		return
	}
	h.add("<h3>Errors</h3>\n<ul class=\"errors\">")
	for _, e := range all {
		h.add("<li><b>%</b>", strconv.Itoa(e.Status))
		h.addIf(e.Code, " <code>%</code>")
		h.add(" <span>")
		h.prose(e.About)
		h.add("</span></li>")
	}
	h.add("</ul>\n")
}

// text is a comment, by paragraphs.
func (h *pageHTML) text(paragraphs []string) {
	for _, p := range paragraphs {
		h.add(`<p class="text">`)
		h.prose(p)
		h.add("</p>")
	}
}

// prose is text in which backticks mark code, as they do in comments: as many begin it as end it.
func (h *pageHTML) prose(text string) {
	for {
		at := strings.IndexByte(text, '`')
		if at < 0 {
			break
		}
		rest := strings.TrimLeft(text[at:], "`")
		mark := text[at : len(text)-len(rest)]
		end := closing(rest, mark)
		if end < 0 {
			h.add("%", text[:at]+mark)
			text = rest
			continue
		}
		h.add("%<code>%</code>", text[:at], strings.TrimSpace(rest[:end]))
		text = rest[end+len(mark):]
	}
	h.add("%", text)
}

// closing is where the same run of backticks as a mark stands in a text, below 0 for nowhere.
func closing(text, mark string) int {
	for from := 0; ; {
		at := strings.Index(text[from:], mark)
		if at < 0 {
			return -1
		}
		at += from
		end := len(text) - len(strings.TrimLeft(text[at:], "`"))
		if end-at == len(mark) {
			return at
		}
		from = end
	}
}

// name adds a full name, which a narrow place may break before its dots.
func (h *pageHTML) name(full string) {
	for i, part := range strings.Split(full, ".") {
		if i > 0 {
			h.add("<wbr>.")
		}
		h.add("%", part)
	}
}

// kind is a type.
func (h *pageHTML) kind(t pageText) {
	h.add("%", t.Before)
	if t.Link != "" {
		h.add(`<a href="%">`, "#type-"+url.PathEscape(t.Link))
		h.name(t.Link)
		h.add("</a>")
	}
	h.add("%", t.After)
}

// table is a table of fields, or of an enum's values.
func (h *pageHTML) table(label, head string, fields []pageField, enum bool) {
	h.add(`<div class="scroll" tabindex="0" role="group" aria-label="%"><table><thead><tr><th scope="col">%</th>`, label, head)
	if !enum {
		h.add(`<th scope="col">Type</th>`)
	}
	h.add("<th scope=\"col\">Meaning</th></tr></thead>\n<tbody>")
	for _, f := range fields {
		h.add("<tr><td><code>%</code>", f.Name)
		if f.Required {
			h.add(" <em>required</em>")
		}
		if f.In == "path" {
			h.add(" <em>in the path</em>")
		}
		h.add("</td>")
		if !enum {
			h.add("<td>")
			h.kind(f.Type)
			h.add("</td>")
		}
		h.add("<td>")
		h.text(f.Comment)
		for _, note := range f.Notes {
			h.add(`<span class="note">%</span> `, note)
		}
		h.add("</td></tr>\n")
	}
	h.add("</tbody></table></div>\n")
}
