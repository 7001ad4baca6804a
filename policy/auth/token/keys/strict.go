package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// strictDepth bounds how deep a token's JSON may nest.
const strictDepth = 32

var errNotStrict = errors.New("the JSON is not one object without duplicate names")

// StrictObject decodes a JSON object in which no name stands twice, at any
// depth: two readers of one token must not see different claims. Numbers are
// json.Number.
func StrictObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, errNotStrict
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := strictValue(d, strictDepth)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errNotStrict
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNotStrict
	}
	return object, nil
}

func strictValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, errNotStrict
	}
	if delim == '[' {
		return strictList(d, depth-1)
	}
	return strictMap(d, depth-1)
}

func strictList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		value, err := strictValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := d.Token()
	return list, err
}

func strictMap(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if _, twice := object[name]; twice || !ok {
			return nil, errNotStrict
		}
		if object[name], err = strictValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}
