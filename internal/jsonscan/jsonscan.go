// Package jsonscan finds the members and elements of a JSON text (RFC 8259) without copying or decoding them. Callers can print a value
// exactly as the server sent it, including numbers of any size, unknown members and spacing.
package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"strconv"
)

// maxDepth is the deepest nesting that is accepted, the same as in encoding/json.
const maxDepth = 10000

// Valid reports whether data is one JSON value, like json.Valid. For long strings such as base64 images, Valid is several times faster.
func Valid(data []byte) bool {
	i := scanValue(data, skipSpace(data, 0), 0)
	return i >= 0 && skipSpace(data, i) == len(data)
}

// Members yields the members of a JSON object in order, with decoded names and unchanged values. Other JSON values have no members.
func Members(data []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if i := skipSpace(data, 0); i < len(data) && data[i] == '{' {
			scanParts(data, i, 1, func(name, value []byte) bool { return yield(Unquote(name), value) })
		}
	}
}

// Member returns the value of the member with this name, or nil. If several members have the name, Member returns the last, as
// encoding/json does.
func Member(data []byte, name string) json.RawMessage {
	var found json.RawMessage
	for n, v := range Members(data) {
		if n == name {
			found = v
		}
	}
	return found
}

// Elements yields the elements of a JSON array in order, unchanged. Other JSON values have no elements.
func Elements(data []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if i := skipSpace(data, 0); i < len(data) && data[i] == '[' {
			scanParts(data, i, 1, func(_, value []byte) bool { return yield(value) })
		}
	}
}

// Unquote decodes a JSON string. The result is "" for any other value.
func Unquote(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if inner := raw[1 : len(raw)-1]; raw[len(raw)-1] == '"' && !bytes.ContainsFunc(inner, needsDecoding) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// needsDecoding reports whether a JSON string with this character needs decoding.
func needsDecoding(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// Quote encodes a string as JSON with no more escapes than needed.
func Quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// scanValue returns the end of the value that begins at i, or -1 if there is no valid value.
func scanValue(data []byte, i, depth int) int {
	if i >= len(data) {
		return -1
	}
	switch c := data[i]; {
	case c == '"':
		return scanString(data, i)
	case c == '{' || c == '[':
		return scanParts(data, i, depth+1, nil)
	case c == '-' || '0' <= c && c <= '9':
		return scanNumber(data, i)
	}
	for _, word := range []string{"true", "false", "null"} {
		if end := i + len(word); end <= len(data) && string(data[i:end]) == word {
			return end
		}
	}
	return -1
}

// scanParts scans an object or an array and passes its members or elements to yield, if yield is not nil. The result is -1 if yield returns
// false.
func scanParts(data []byte, i, depth int, yield func(name, value []byte) bool) int {
	if depth > maxDepth {
		return -1
	}
	object, end := data[i] == '{', byte(']')
	if object {
		end = '}'
	}
	if i = skipSpace(data, i+1); i < len(data) && data[i] == end {
		return i + 1
	}
	for {
		var name []byte
		if object {
			if i == len(data) || data[i] != '"' {
				return -1
			}
			start := i
			if i = scanString(data, start); i < 0 {
				return -1
			}
			name = data[start:i]
			if i = skipSpace(data, i); i == len(data) || data[i] != ':' {
				return -1
			}
			i = skipSpace(data, i+1)
		}
		start := i
		if i = scanValue(data, start, depth); i < 0 || yield != nil && !yield(name, data[start:i:i]) {
			return -1
		}
		switch i = skipSpace(data, i); {
		case i == len(data):
			return -1
		case data[i] == end:
			return i + 1
		case data[i] != ',':
			return -1
		}
		i = skipSpace(data, i+1)
	}
}

func scanString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i == len(data) {
				return -1
			}
			switch data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(data) || !isHex(data[i]) {
						return -1
					}
				}
			default:
				return -1
			}
		}
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// scanNumber reads -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func scanNumber(data []byte, i int) int {
	if data[i] == '-' {
		i++
	}
	start := i
	i = scanDigits(data, i)
	if i == start || data[start] == '0' && i > start+1 {
		return -1
	}
	if i < len(data) && data[i] == '.' {
		start = i + 1
		if i = scanDigits(data, start); i == start {
			return -1
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		start = i
		if i = scanDigits(data, start); i == start {
			return -1
		}
	}
	return i
}

func scanDigits(data []byte, i int) int {
	for i < len(data) && '0' <= data[i] && data[i] <= '9' {
		i++
	}
	return i
}

// Type returns the JSON type of a value: string, object, array, boolean, null, integer or number. The type of an empty value is "".
func Type(v []byte) string {
	v = bytes.TrimSpace(v)
	if len(v) == 0 {
		return ""
	}
	switch v[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	if Integer(v) {
		return "integer"
	}
	return "number"
}

// Integer reports whether a JSON number is an integer: 5, 5.0 and 1e3 are, 5.5 is not (JSON Schema Core §4.2.3).
func Integer(v []byte) bool {
	if bytes.ContainsAny(v, "eE") {
		f, err := strconv.ParseFloat(string(v), 64)
		return errors.Is(err, strconv.ErrRange) || f == math.Trunc(f)
	}
	_, fraction, _ := bytes.Cut(v, []byte("."))
	return len(bytes.Trim(fraction, "0")) == 0
}
