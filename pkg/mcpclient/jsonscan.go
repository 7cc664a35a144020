// This file finds the parts of a JSON text without copying them or changing a byte (RFC 8259), so that the result of a call leaves as
// it came: numbers of any size, unknown members, spacing. Nothing is decoded that nobody asks for.

package mcpclient

import (
	"bytes"
	"encoding/json"
	"iter"
)

// maxDepth bounds how deep a JSON text may nest; it is that of encoding/json.
const maxDepth = 10000

// valid reports whether data is one JSON value. It agrees with json.Valid and is several times faster on long strings, which is what
// pictures are.
func valid(data []byte) bool {
	i := scanValue(data, skipSpace(data, 0), 0)
	return i >= 0 && skipSpace(data, i) == len(data)
}

// members yields the members of a valid JSON object in order, names decoded, values as they stand. Anything else has none.
func members(data []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		i := skipSpace(data, 0)
		if i == len(data) || data[i] != '{' {
			return
		}
		for i = skipSpace(data, i+1); i < len(data) && data[i] == '"'; {
			end := scanString(data, i)
			if end < 0 {
				return
			}
			name := unquote(data[i:end])
			i = skipSpace(data, end)
			if i == len(data) || data[i] != ':' {
				return
			}
			start := skipSpace(data, i+1)
			if i = scanValue(data, start, 1); i < 0 || !yield(name, data[start:i:i]) {
				return
			}
			if i = skipSpace(data, i); i == len(data) || data[i] != ',' {
				return
			}
			i = skipSpace(data, i+1)
		}
	}
}

// member returns the last member of that name, as encoding/json would; nil when there is none.
func member(data []byte, name string) json.RawMessage {
	var found json.RawMessage
	for n, v := range members(data) {
		if n == name {
			found = v
		}
	}
	return found
}

// elements yields the elements of a valid JSON array in order, as they stand. Anything else has none.
func elements(data []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		i := skipSpace(data, 0)
		if i == len(data) || data[i] != '[' {
			return
		}
		for i = skipSpace(data, i+1); i < len(data) && data[i] != ']'; {
			end := scanValue(data, i, 1)
			if end < 0 || !yield(data[i:end:end]) {
				return
			}
			if i = skipSpace(data, end); i == len(data) || data[i] != ',' {
				return
			}
			i = skipSpace(data, i+1)
		}
	}
}

// unquote decodes a JSON string; anything else is "".
func unquote(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if inner := raw[1 : len(raw)-1]; raw[len(raw)-1] == '"' && !bytes.ContainsFunc(inner, encoded) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// encoded reports whether a character of a JSON string may stand for something else than itself. Most names have none.
func encoded(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// quote encodes a string as JSON, with no more escapes than needed.
func quote(s string) json.RawMessage {
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

// scanValue returns where the value that begins at i ends, -1 when it is none.
func scanValue(data []byte, i, depth int) int {
	if i >= len(data) {
		return -1
	}
	switch c := data[i]; {
	case c == '"':
		return scanString(data, i)
	case c == '{':
		return scanObject(data, i, depth+1)
	case c == '[':
		return scanArray(data, i, depth+1)
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

func scanObject(data []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	if i = skipSpace(data, i+1); i < len(data) && data[i] == '}' {
		return i + 1
	}
	for {
		if i == len(data) || data[i] != '"' {
			return -1
		}
		if i = scanString(data, i); i < 0 {
			return -1
		}
		if i = skipSpace(data, i); i == len(data) || data[i] != ':' {
			return -1
		}
		if i = scanValue(data, skipSpace(data, i+1), depth); i < 0 {
			return -1
		}
		if i = skipSpace(data, i); i == len(data) {
			return -1
		}
		switch data[i] {
		case '}':
			return i + 1
		case ',':
			i = skipSpace(data, i+1)
		default:
			return -1
		}
	}
}

func scanArray(data []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	if i = skipSpace(data, i+1); i < len(data) && data[i] == ']' {
		return i + 1
	}
	for {
		if i = scanValue(data, i, depth); i < 0 {
			return -1
		}
		if i = skipSpace(data, i); i == len(data) {
			return -1
		}
		switch data[i] {
		case ']':
			return i + 1
		case ',':
			i = skipSpace(data, i+1)
		default:
			return -1
		}
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
