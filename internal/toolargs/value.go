package toolargs

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxDepth limits the depth to which a schema is parsed. Values at a greater depth keep their text, but their members are not parsed.
const maxDepth = 500

// value is a parsed JSON value with its text. A nil value has no text and no members.
type value struct {
	raw   json.RawMessage
	names []string       // names of an object's members, in order
	list  []*value       // the members of an object or the elements of an array
	index map[string]int // position of each member; nil for fewer than few members
}

// few is the number of members from which an index is faster than a search.
const few = 8

// parse reads a JSON value down to the given depth. It returns nil if the text is not JSON.
func parse(text []byte, depth int) *value {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := parseValue(dec, text, depth)
	if err != nil {
		return nil
	}
	return v
}

func parseValue(dec *json.Decoder, text []byte, depth int) (*value, error) {
	start := dec.InputOffset()
	v := &value{}
	defer func() { v.raw = bytes.TrimLeft(text[start:dec.InputOffset()], " \t\r\n:,") }()
	if depth < 0 {
		var skipped json.RawMessage
		return v, dec.Decode(&skipped)
	}
	token, err := dec.Token()
	if err != nil || token != json.Delim('{') && token != json.Delim('[') {
		return v, err
	}
	for dec.More() {
		name := ""
		if token == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return v, err
			}
			name = token.(string)
		}
		member, err := parseValue(dec, text, depth-1)
		if err != nil {
			return v, err
		}
		v.add(token == json.Delim('{'), name, member)
	}
	_, err = dec.Token()
	return v, err
}

// add appends an element, or a member. Of members with the same name, the last one counts, as in encoding/json.
func (v *value) add(isMember bool, name string, member *value) {
	if isMember {
		if i := v.find(name); i >= 0 {
			v.list[i] = member
			return
		}
		v.names = append(v.names, name)
		switch n := len(v.names); {
		case n == few:
			v.index = make(map[string]int, 2*few)
			for i, name := range v.names {
				v.index[name] = i
			}
		case n > few:
			v.index[name] = n - 1
		}
	}
	v.list = append(v.list, member)
}

// find returns the position of a member, or -1.
func (v *value) find(name string) int {
	if v.index == nil {
		return slices.Index(v.names, name)
	}
	if i, ok := v.index[name]; ok {
		return i
	}
	return -1
}

// member returns a member of an object, or nil.
func (v *value) member(name string) *value {
	if v != nil {
		if i := v.find(name); i >= 0 {
			return v.list[i]
		}
	}
	return nil
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

// child returns the member or element that a part of a JSON pointer names, or nil (RFC 6901 §4 and §6).
func (v *value) child(part string) *value {
	if decoded, err := url.PathUnescape(part); err == nil {
		part = decoded
	}
	if i, err := strconv.Atoi(part); err == nil && 0 <= i && i < len(v.elements()) {
		return v.list[i]
	}
	return v.member(pointerEscapes.Replace(part))
}

// elements returns the elements of an array.
func (v *value) elements() []*value {
	if v == nil || v.raw[0] != '[' {
		return nil
	}
	return v.list
}

// text decodes a JSON string. Anything else is "".
func (v *value) text() string {
	var s string
	if v != nil {
		_ = json.Unmarshal(v.raw, &s)
	}
	return s
}

// beginning decodes the first two kilobytes of a JSON string.
func (v *value) beginning() string {
	const most = 2048
	if v == nil || len(v.raw) <= most {
		return v.text()
	}
	for end := most; end > most-12; end-- { // shortens the text if the cut is within an escape sequence or a surrogate pair
		part := &value{raw: append(slices.Clone(v.raw[:end]), '"')}
		if json.Valid(part.raw) {
			return part.text()
		}
	}
	return ""
}

// kinds is a set of JSON types.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	integer
	fraction // a number that is not an integer
	text
	array
	object

	number   = integer | fraction
	scalar   = boolean | number | text
	anything = null | scalar | array | object
)

// kindNames lists the names of types in the order in which messages show them.
var kindNames = []struct {
	kind kinds
	name string
}{{array, "array"}, {boolean, "boolean"}, {integer, "integer"}, {number, "number"}, {object, "object"}, {text, "string"}, {null, "null"}}

// kindOf returns the type of a JSON value.
func kindOf(raw json.RawMessage) kinds {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return 0
	}
	switch raw[0] {
	case '"':
		return text
	case '{':
		return object
	case '[':
		return array
	case 't', 'f':
		return boolean
	case 'n':
		return null
	}
	if isInteger(string(raw)) {
		return integer
	}
	return fraction
}

// namedKind returns the type with this name in JSON Schema, or anything for an unknown name.
func namedKind(name string) kinds {
	for _, k := range kindNames {
		if k.name == name {
			return k.kind
		}
	}
	return anything
}

// String lists the types for a message, such as "integer or null". It returns "any" for all types.
func (k kinds) String() string {
	if k == anything {
		return "any"
	}
	var names []string
	for _, n := range kindNames {
		if k&n.kind == n.kind && (n.kind != integer || k&fraction == 0) {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, " or ")
}

// isInteger reports whether a JSON number is an integer: 5, 5.0 and 1e3 are, 5.5 is not (JSON Schema Core §4.2.3).
func isInteger(number string) bool {
	if strings.ContainsAny(number, "eE") {
		f, err := strconv.ParseFloat(number, 64)
		return errors.Is(err, strconv.ErrRange) || f == math.Trunc(f)
	}
	_, digits, _ := strings.Cut(number, ".")
	return strings.Trim(digits, "0") == ""
}

// isNumber reports whether text is a JSON number and nothing else.
func isNumber(text string) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return text != "" && (text[0] == '-' || digit(text[0])) && digit(text[len(text)-1]) && json.Valid([]byte(text))
}

// equal compares two scalars. Numbers are compared as floating-point numbers, so that 5 equals 5.0.
func equal(a, b *value) bool {
	switch k := kindOf(a.raw); {
	case k&number != 0 && kindOf(b.raw)&number != 0:
		x, _ := strconv.ParseFloat(string(a.raw), 64)
		y, _ := strconv.ParseFloat(string(b.raw), 64)
		return x == y
	case k == text && kindOf(b.raw) == text:
		return a.text() == b.text()
	}
	return string(a.raw) == string(b.raw)
}

// quote encodes a string as JSON with no more escapes than JSON needs.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cut shortens text for a message.
func cut(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
