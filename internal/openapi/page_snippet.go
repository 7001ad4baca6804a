package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// pathVariable is a variable in a path of OpenAPI.
var pathVariable = regexp.MustCompile(`\{([^}]*)\}`)

// snippets are ways to make a call, each to be pasted. What the caller has to fill in stands in capitals.
func (m *pageMaker) snippets(r *described, path string, method *pageMethod) []pageSnippet {
	shape := r.Method.Shape
	// A dollar sign would name a variable of the shell.
	url := m.page.Server + pathVariable.ReplaceAllStringFunc(strings.ReplaceAll(path, "$", "%24"), placeholder)
	sep := "?"
	for _, p := range method.Parameters {
		if p.In == "query" && p.Required {
			url += sep + escaped(p.Name) + "=" + placeholder(p.Name)
			sep = "&"
		}
	}
	verb := strings.Replace(r.HTTPMethod, "*", "POST", 1)
	secured := needsToken(r.Policy.GetAuth())
	body := ""
	if method.Body != nil {
		body = method.Body.Example
	}
	if shape.ClientStreams && shape.ServerStreams {
		return []pageSnippet{{"websocat", "websocat " + headers("-H=", secured) + `"` + strings.Replace(strings.Replace(url, "http", "ws", 1), "$API", "${API/http/ws}", 1) + `"`}, m.grpcurl(r, secured)}
	}
	curl := "curl "
	if verb != "GET" && (verb != "POST" || body == "") {
		curl += "-X " + verb + " "
	}
	if shape.ServerStreams {
		curl += "-N -H 'accept: text/event-stream' "
	}
	curl += `"` + url + `"` + suffix(headers("-H ", secured))
	if body != "" {
		kind := "json"
		if shape.ClientStreams {
			kind, body = "x-ndjson", oneLine(body)
		}
		curl += " \\\n  -H 'content-type: application/" + kind + "' -d " + quoted(body)
	}
	list := []pageSnippet{{"curl", curl}}
	if shape.Unary() {
		list = append(list, pageSnippet{"fetch", fetchOf(verb, strings.TrimPrefix(url, "$API"), body, secured)})
		list = append(list, pageSnippet{"Connect", `curl "` + m.page.Server + "/" + method.RPC + `"` + suffix(headers("-H ", secured)) +
			" \\\n  -H 'connect-protocol-version: 1' -H 'content-type: application/json' -d " + quoted(m.whole(r))})
	}
	return append(list, m.grpcurl(r, secured))
}

// oneLine is JSON without the breaks of lines that are no part of a text.
func oneLine(text string) string {
	var b bytes.Buffer
	_ = json.Compact(&b, []byte(text)) // it is JSON
	return b.String()
}

// placeholder is what stands for a value that the caller fills in: the name in capitals, of which shells and
// URLs have no other meaning.
func placeholder(name string) string {
	return cmp.Or(strings.ToUpper(strings.Trim(idPart(name), "_")), "VALUE")
}

// escaped is the name of a parameter in a URL that stands between double quotes of a shell.
func escaped(name string) string { return strings.ReplaceAll(url.QueryEscape(name), "+", "%20") }

// whole is an example of the whole request, as gRPC and Connect have it.
func (m *pageMaker) whole(r *described) string {
	return m.example(m.writer.schemas.message(r.Method.Descriptor.Input(), r.form), "readOnly")
}

func (m *pageMaker) grpcurl(r *described, secured bool) pageSnippet {
	host, plain := m.page.Server, ""
	switch {
	case host == "$API" || strings.HasPrefix(host, "/"):
		host = "HOST:443"
	case strings.HasPrefix(host, "http://"):
		host, plain = strings.TrimPrefix(host, "http://"), "-plaintext "
	default:
		host = strings.TrimPrefix(host, "https://")
	}
	host, _, _ = strings.Cut(host, "/")
	if !strings.Contains(host, ":") {
		host += ":443"
	}
	return pageSnippet{"grpcurl", "grpcurl " + plain + headers("-H ", secured) + "-d " + quoted(m.whole(r)) + " \\\n  " + quoted(host) + " " + r.Method.RPC}
}

// headers are those that credentials stand in.
func headers(flag string, secured bool) string {
	if !secured {
		return ""
	}
	return flag + `"authorization: Bearer $TOKEN" `
}

func suffix(text string) string {
	if text == "" {
		return ""
	}
	return " " + strings.TrimSpace(text)
}

func needsToken(a *transomv1.Auth) bool { return a.GetJwt() != nil || a.GetMixed() != nil }

// quoted is a text as a shell reads it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fetchOf is a call by a page.
func fetchOf(verb, url, body string, secured bool) string {
	var options []string
	if verb != "GET" {
		options = append(options, `method: "`+verb+`"`)
	}
	var header []string
	if secured {
		header = append(header, "authorization: `Bearer ${token}`")
	}
	if body != "" {
		header = append(header, `"content-type": "application/json"`)
	}
	if len(header) > 0 {
		options = append(options, "headers: { "+strings.Join(header, ", ")+" }")
	}
	if body != "" {
		options = append(options, "body: JSON.stringify("+strings.ReplaceAll(body, "\n", "\n  ")+")")
	}
	text := "const answer = await fetch(" + string(appendQuoted(nil, url))
	if len(options) > 0 {
		text += ", {\n  " + strings.Join(options, ",\n  ") + ",\n}"
	}
	return text + ");\nconst result = await answer.json();"
}
