// This file reads as much of a JSON Schema (2020-12) as arguments need: which properties there are and which types they may have. It
// fetches nothing: a reference to another document is a schema of which nothing is known (2026-07-28, JSON Schema Usage, $ref).

package mcpclient

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

const maxRefs = 32

// schema is a schema object within its document. The zero schema allows everything.
type schema struct {
	root, node json.RawMessage
}

func newSchema(raw json.RawMessage) schema { return schema{root: raw, node: raw}.resolved() }

// keyword returns the value of a keyword, nil when absent.
func (s schema) keyword(name string) json.RawMessage { return member(s.node, name) }

// sub returns the schema raw, which stands within s.
func (s schema) sub(raw json.RawMessage) schema { return schema{root: s.root, node: raw}.resolved() }

// resolved follows $ref within the document; the zero schema where it leads elsewhere or nowhere.
func (s schema) resolved() schema {
	for range maxRefs {
		ref := s.keyword("$ref")
		if ref == nil {
			return s
		}
		path, ok := strings.CutPrefix(unquote(ref), "#")
		if !ok || path != "" && path[0] != '/' {
			return schema{}
		}
		s.node = s.root
		for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			if path != "" {
				s.node = member(s.node, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
			}
		}
		if s.node == nil {
			return schema{}
		}
	}
	return schema{}
}

// all returns the schemas of a keyword that holds a list, such as anyOf.
func (s schema) all(keyword string) []schema {
	var out []schema
	for raw := range elements(s.keyword(keyword)) {
		out = append(out, s.sub(raw))
	}
	return out
}

// property returns the schema of a named property.
func (s schema) property(name string) (schema, bool) { return s.propertyAt(name, 0) }

func (s schema) propertyAt(name string, depth int) (schema, bool) {
	if raw := member(s.keyword("properties"), name); raw != nil {
		return s.sub(raw), true
	}
	if depth > maxRefs {
		return schema{}, false
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, part := range s.all(keyword) {
			if p, ok := part.propertyAt(name, depth+1); ok {
				return p, true
			}
		}
	}
	return schema{}, false
}

// names are the properties that the schema lists itself.
func (s schema) names() []string {
	var out []string
	for name := range members(s.keyword("properties")) {
		out = append(out, name)
	}
	return out
}

// composed reports whether properties may be allowed by more than "properties".
func (s schema) composed() bool {
	for _, k := range []string{"allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas", "unevaluatedProperties", "$dynamicRef"} {
		if s.keyword(k) != nil {
			return true
		}
	}
	return false
}

// types are the JSON types that a value may have, null left out; nil when the schema does not say.
func (s schema) types() []string { return s.typesAt(0) }

func (s schema) typesAt(depth int) []string {
	if depth > maxRefs {
		return nil
	}
	if t := s.keyword("type"); t != nil {
		out := []string{}
		for e := range elements(t) {
			out = append(out, unquote(e))
		}
		if t[0] == '"' {
			out = append(out, unquote(t))
		}
		return unique(out)
	}
	if c := s.keyword("const"); c != nil {
		return unique([]string{typeOf(c)})
	}
	if values := slices.Collect(elements(s.keyword("enum"))); len(values) > 0 {
		var out []string
		for _, v := range values {
			out = append(out, typeOf(v))
		}
		return unique(out)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if parts := s.all(keyword); len(parts) > 0 {
			out := []string{}
			for _, p := range parts {
				t := p.typesAt(depth + 1)
				if t == nil {
					return nil
				}
				out = append(out, t...)
			}
			return unique(out)
		}
	}
	for _, p := range s.all("allOf") {
		if t := p.typesAt(depth + 1); t != nil {
			return t
		}
	}
	return nil
}

// unique sorts, and leaves out null and what is said twice; an integer is a number.
func unique(types []string) []string {
	slices.Sort(types)
	types = slices.Compact(types)
	out := slices.DeleteFunc(types, func(t string) bool { return t == "null" })
	if slices.Contains(out, "number") {
		out = slices.DeleteFunc(out, func(t string) bool { return t == "integer" })
	}
	return out
}

// scalar returns the one type that is neither array nor object, "" when there is none or more than one.
func scalar(types []string) string {
	one := ""
	for _, t := range types {
		if t == "array" || t == "object" {
			continue
		}
		if one != "" {
			return ""
		}
		one = t
	}
	return one
}

// typeOf returns the type of a JSON value.
func typeOf(v json.RawMessage) string {
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
	if isInteger(v) {
		return "integer"
	}
	return "number"
}

// isInteger reports whether a JSON number is written as an integer: 5 and 5.0 are (JSON Schema Core §4.2.3), 5.5 is not. A number with an
// exponent counts as one, for nobody wants to multiply it out.
func isInteger(v json.RawMessage) bool {
	if bytes.ContainsAny(v, "eE") {
		return true
	}
	_, fraction, _ := bytes.Cut(v, []byte("."))
	return len(bytes.Trim(fraction, "0")) == 0
}

// fits reports whether a value has one of the types. null fits everywhere: servers take it for "not given".
func fits(v json.RawMessage, types []string) bool {
	t := typeOf(v)
	return t == "null" || slices.Contains(types, t) || t == "integer" && slices.Contains(types, "number")
}
