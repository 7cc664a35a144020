package mcpclient

import (
	"encoding/json"
	"fmt"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// checkHeaders returns an error if a header annotation in a schema is invalid. A client must not offer a tool with an invalid annotation
// (2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters).
func checkHeaders(schema json.RawMessage) error {
	if !mcphttp.MayAnnotate(schema) {
		return nil
	}
	return checkSchemaHeaders(schema, "", false, true, map[string]bool{}, 0)
}

// checkSchemaHeaders checks a schema and its subschemas. isProperty is true if the schema describes a named property, which may be
// annotated. onlyProperties is true if all keywords on the path to the schema are "properties".
func checkSchemaHeaders(schema json.RawMessage, path string, isProperty, onlyProperties bool, seen map[string]bool, depth int) error {
	if depth > 100 {
		return fmt.Errorf("the schema nests deeper than 100")
	}
	for keyword, v := range jsonscan.Members(schema) {
		var err error
		check := func(s json.RawMessage, path string, isProperty, onlyProperties bool) {
			if err == nil {
				err = checkSchemaHeaders(s, path, isProperty, onlyProperties, seen, depth+1)
			}
		}
		switch keyword {
		case mcphttp.HeaderKeyword:
			if !onlyProperties || !isProperty {
				return fmt.Errorf("%s%s is allowed only in the schema of an argument", where(path), mcphttp.HeaderKeyword)
			}
			err = checkAnnotation(v, jsonscan.Member(schema, "type"), path, seen)
		case "properties":
			for name, s := range jsonscan.Members(v) {
				check(s, path+"."+name, true, onlyProperties)
			}
		case "enum", "const", "default", "examples", "required", "type": // data, not schemas
		case "$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies":
			for _, s := range jsonscan.Members(v) {
				check(s, path, false, false)
			}
		default: // items, anyOf, not, if, …: a schema, a list of schemas, or a value without subschemas
			check(v, path, false, false)
			for s := range jsonscan.Elements(v) {
				check(s, path, false, false)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAnnotation checks one annotation. usedNames contains the header names used so far, in lower case.
func checkAnnotation(value, kind json.RawMessage, path string, usedNames map[string]bool) error {
	name := jsonscan.Unquote(value)
	switch t := jsonscan.Unquote(kind); {
	case t != "string" && t != "integer" && t != "boolean":
		return fmt.Errorf("%s%s is for properties of type string, integer or boolean", where(path), mcphttp.HeaderKeyword)
	case name == "":
		return fmt.Errorf("%s%s has no header name", where(path), mcphttp.HeaderKeyword)
	case strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }):
		return fmt.Errorf("%s%s %q is not a header name (RFC 9110 §5.1)", where(path), mcphttp.HeaderKeyword, httpx.Text(name, 60))
	case usedNames[strings.ToLower(name)]:
		return fmt.Errorf("%s%s %q is used twice", where(path), mcphttp.HeaderKeyword, name)
	}
	usedNames[strings.ToLower(name)] = true
	return nil
}

func where(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf("property %q: ", httpx.Text(strings.TrimPrefix(path, "."), 100))
}

// isTokenChar reports whether r is allowed in a header name (tchar, RFC 9110 §5.6.2).
func isTokenChar(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
