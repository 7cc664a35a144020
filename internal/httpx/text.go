package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Text makes a server's text safe to print on one line of a terminal. The result is valid UTF-8 without control, format or bidirectional
// characters. Each run of blanks becomes a single space, because blanks could fill a line of the terminal, so that the rest of the text would
// look like a line of mcpauth. If the text has more than max characters, it is shortened and ends with "…".
func Text(s string, max int) string {
	clean := make([]rune, 0, min(len(s), max+1))
	blank := false
	for _, r := range strings.ToValidUTF8(s, "�") {
		switch {
		case IsBlank(r):
			blank = len(clean) > 0
			continue
		case IsInvisible(r), (blank || len(clean) == 0) && unicode.Is(unicode.Mn, r): // a mark between two blanks can be invisible too
			continue
		}
		if blank {
			clean, blank = append(clean, ' '), false
		}
		if clean = append(clean, r); len(clean) > max {
			return strings.TrimSpace(string(clean[:max-1])) + "…"
		}
	}
	return string(clean)
}

// IsBlank reports whether a character is white space or looks like a blank. Some letters and symbols look like a blank, such as the Hangul fillers.
func IsBlank(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159", r)
}

// IsInvisible reports whether a character is a control or format character, has no glyph, or is a blank other than a space.
func IsInvisible(r rune) bool {
	if r <= unicode.MaxASCII { // most texts are ASCII, and the search in Unicode's tables is slow
		return unicode.IsControl(r)
	}
	return !unicode.IsPrint(r) || IsBlank(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\U00016fe4'
}

// IsOneWord reports whether a text contains neither a blank nor an invisible character.
func IsOneWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || IsInvisible(r) })
}

// HidesArgument reports whether a command could read a stranger's name, or a word of it, as another argument: as a flag, or as NAME=@FILE. Both can
// send a file to the server, and a user may copy the name from a list, or a script may pass it on. Shells and xargs can split the name at blanks,
// remove quotation marks and backslashes, and replace a word that begins with a wildcard by the name of a file. The tables leave out invisible
// characters.
func HidesArgument(name string) bool {
	words := strings.FieldsFunc(name, func(r rune) bool { return IsBlank(r) || IsInvisible(r) })
	return strings.HasPrefix(name, "-") || slices.ContainsFunc(words, func(word string) bool {
		word = strings.TrimLeft(word, `"'\`)
		isWildcard := strings.IndexAny(word, "*?[") == 0 || strings.IndexAny(word, "@+!") == 0 && strings.HasPrefix(word[1:], "(")
		return isWildcard || len(word) > 1 && word[0] == '-' || strings.Contains(word, "=@")
	})
}

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
				return fmt.Errorf("member %q appears twice", Text(name.(string), 60))
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
