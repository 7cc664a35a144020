package toolargs

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mcpauth/internal/jsonscan"
)

// maxDepth limits the depth to which a schema is parsed. Values at a greater depth keep their text, but their members are not parsed.
const maxDepth = 100

// jsonValue is a parsed JSON value and its text, or an object under construction. A nil jsonValue has no text and no members.
type jsonValue struct {
	raw   json.RawMessage // nil: an object under construction
	names []string        // names of an object's members, in order
	list  []*jsonValue    // the members of an object or the elements of an array
	index map[string]int  // position of each member
}

// parse reads a JSON value down to the given depth, or returns nil if the text is not JSON.
func parse(text []byte, depth int) *jsonValue {
	if !jsonscan.Valid(text) {
		return nil
	}
	return parseValue(bytes.TrimSpace(text), depth)
}

func parseValue(text []byte, depth int) *jsonValue {
	v := &jsonValue{raw: text}
	if depth < 0 {
		return v
	}
	for e := range jsonscan.Elements(text) {
		v.list = append(v.list, parseValue(e, depth-1))
	}
	for name, m := range jsonscan.Members(text) {
		v.put(name, parseValue(m, depth-1))
	}
	return v
}

// parseObject parses an object to which members will be added. The result is nil if the text is not a JSON object.
func parseObject(text json.RawMessage) *jsonValue {
	v := parse(text, 0)
	if v == nil || kindOf(v.raw) != object {
		return nil
	}
	v.raw = nil
	return v
}

// The method put sets a member. A second member with the same name replaces the first, as in encoding/json.
func (v *jsonValue) put(name string, m *jsonValue) {
	if i, ok := v.index[name]; ok {
		v.list[i] = m
		return
	}
	if v.index == nil {
		v.index = map[string]int{}
	}
	v.index[name] = len(v.list)
	v.names, v.list = append(v.names, name), append(v.list, m)
}

// The method encode returns the text of a value or of an object under construction.
func (v *jsonValue) encode() json.RawMessage {
	if v.raw != nil {
		return v.raw
	}
	b := []byte{'{'}
	for i, name := range v.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, jsonscan.Quote(name)...), ':'), v.list[i].encode()...)
	}
	return append(b, '}')
}

// member returns a member of an object, or nil.
func (v *jsonValue) member(name string) *jsonValue {
	if v != nil {
		if i, ok := v.index[name]; ok {
			return v.list[i]
		}
	}
	return nil
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

// pointerChild returns the member or element that a part of a JSON pointer names (RFC 6901 §4 and §6), or nil.
func (v *jsonValue) pointerChild(part string) *jsonValue {
	if decoded, err := url.PathUnescape(part); err == nil {
		part = decoded
	}
	if i, err := strconv.Atoi(part); err == nil && 0 <= i && i < len(v.elements()) {
		return v.list[i]
	}
	return v.member(pointerEscapes.Replace(part))
}

// elements returns the elements of an array.
func (v *jsonValue) elements() []*jsonValue {
	if v == nil || v.raw[0] != '[' {
		return nil
	}
	return v.list
}

// decodeString decodes a JSON string. The result is "" for any other value.
func (v *jsonValue) decodeString() string {
	if v == nil {
		return ""
	}
	return jsonscan.Unquote(v.raw)
}

// printable returns the text of a value. The printable characters of a short string are not escaped. A string with other characters is unchanged,
// and so is a long string, because many properties may refer to the same one.
func (v *jsonValue) printable() json.RawMessage {
	if len(v.raw) > 300 {
		return v.raw
	}
	if s := v.decodeString(); s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return jsonscan.Quote(s)
	}
	return v.raw
}

// stringPrefix decodes the first two kilobytes of a JSON string.
func (v *jsonValue) stringPrefix() string {
	const most = 2048
	if v == nil || len(v.raw) <= most {
		return v.decodeString()
	}
	for end := most; end > most-12; end-- { // shortens the text if the cut is within an escape sequence or a surrogate pair
		part := &jsonValue{raw: append(slices.Clone(v.raw[:end]), '"')}
		if jsonscan.Valid(part.raw) {
			return part.decodeString()
		}
	}
	return ""
}

// kindSet is a set of JSON types.
type kindSet uint8

const (
	null kindSet = 1 << iota
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
	kind kindSet
	name string
}{{array, "array"}, {boolean, "boolean"}, {integer, "integer"}, {number, "number"}, {object, "object"}, {text, "string"}, {null, "null"}}

// kindOf returns the type of a JSON value.
func kindOf(raw json.RawMessage) kindSet {
	switch name := jsonscan.Type(raw); name {
	case "":
		return 0
	case "number":
		return fraction
	default:
		return namedKind(name)
	}
}

// namedKind returns the type with this name in JSON Schema, or anything for an unknown name.
func namedKind(name string) kindSet {
	for _, k := range kindNames {
		if k.name == name {
			return k.kind
		}
	}
	return anything
}

// String lists the types for a message, such as "integer or null", or "any" for all types.
func (k kindSet) String() string {
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

// isNumber reports whether text is a JSON number and nothing else.
func isNumber(text string) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return text != "" && (text[0] == '-' || digit(text[0])) && digit(text[len(text)-1]) && jsonscan.Valid([]byte(text))
}

// scalarOf returns a value that is equal for equal scalars. Numbers become floating-point numbers, so that 5 equals 5.0.
func scalarOf(v *jsonValue) any {
	type otherScalar string
	switch k := kindOf(v.raw); {
	case k&number != 0:
		x, _ := strconv.ParseFloat(string(v.raw), 64)
		return x
	case k == text:
		return v.decodeString()
	}
	return otherScalar(v.raw)
}

// shorten shortens text for a message.
func shorten(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
