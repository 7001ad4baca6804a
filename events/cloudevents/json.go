package cloudevents

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/transom-gateway/transom/events"
)

// AppendJSON appends the event as a document of the JSON format.
func AppendJSON(dst []byte, e *events.Event) []byte {
	contentType, body := data(e)
	dst = append(dst, `{"specversion":"1.0"`...)
	dst = appendMember(dst, "id", e.ID)
	dst = appendMember(dst, "source", e.Source)
	dst = appendMember(dst, "type", e.Type)
	for _, a := range optional(e) {
		if a.Value != "" {
			dst = appendMember(dst, a.Name, a.Value)
		}
	}
	extensions(e, func(name, value string) { dst = appendMember(dst, name, value) })
	dst = appendMember(dst, "datacontenttype", contentType)
	if isJSON(contentType) && utf8.Valid(body) && json.Valid(body) {
		dst = append(append(dst, `,"data":`...), body...)
	} else {
		dst = append(dst, `,"data_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, body), '"')
	}
	return append(dst, '}')
}

// Batch is several events as a document of the JSON batch format.
func Batch(all []*events.Event) []byte {
	document := []byte{'['}
	for i, e := range all {
		if i > 0 {
			document = append(document, ',')
		}
		document = AppendJSON(document, e)
	}
	return append(document, ']')
}

// appendMember appends a member after others. name needs no escapes.
func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	for _, r := range validText(value) {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			dst = append(dst, `\u00`...)
			dst = append(dst, upperHex[r>>4], upperHex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
