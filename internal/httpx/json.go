package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// maxDepth limits the nesting of JSON from a server.
const maxDepth = 64

// UniqueFields checks that data is one well-formed JSON value, nested at most 64 levels deep, without duplicate member names. Two parsers
// may choose different values of a duplicate member, so a check of one value proves nothing about the other (RFC 8259 §4).
func UniqueFields(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkUnique(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is data after the JSON value")
	}
	return nil
}

// DecodeMembers decodes one JSON object into v, a pointer to a struct whose fields have JSON names. DecodeMembers refuses duplicate names
// and matches names exactly; encoding/json alone would accept "Token_Endpoint" for token_endpoint. A member of the wrong type counts as
// absent, and its name is returned.
func DecodeMembers(data []byte, v any) (wrong []string, err error) {
	if err := UniqueFields(data); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errors.New("not a JSON object")
	}
	for field, value := range reflect.ValueOf(v).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if member, ok := members[name]; ok && json.Unmarshal(member, value.Addr().Interface()) != nil {
			value.SetZero() // encoding/json may have set a part of the value before it failed
			wrong = append(wrong, name)
		}
	}
	return wrong, nil
}

// checkUnique reads one value. The error says which member name appears twice, or that the value is malformed or nested too deeply.
func checkUnique(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("JSON nested deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return fmt.Errorf("member %s appears twice", Quote(name.(string), 60))
			}
			seen[name.(string)] = true
		}
		if err := checkUnique(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
