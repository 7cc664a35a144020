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
func checkHeaders(schema json.RawMessage) *annotationError {
	if !mcphttp.MayAnnotate(schema) {
		return nil
	}
	return checkSchemaHeaders(schema, nil, false, true, map[string]bool{}, 0)
}

// checkSchemaHeaders checks a schema and its subschemas. path contains the names of the properties that contain the schema. isProperty is true
// if the schema describes a named property, which may be annotated. onlyProperties is true if all keywords on the path to the schema are
// "properties".
func checkSchemaHeaders(schema json.RawMessage, path []string, isProperty, onlyProperties bool, seen map[string]bool, depth int) *annotationError {
	if depth > 100 {
		return &annotationError{path: path, problem: "is not searched for, because the schema is nested deeper than 100 levels"}
	}
	var annotation, kind json.RawMessage
	for keyword, v := range jsonscan.Members(schema) {
		var err *annotationError
		check := func(s json.RawMessage) {
			if err == nil {
				err = checkSchemaHeaders(s, path, false, false, seen, depth+1)
			}
		}
		switch keyword {
		case mcphttp.HeaderKeyword:
			annotation = v
		case "type":
			kind = v
		case "properties":
			for name, s := range jsonscan.Members(v) {
				if err := checkSchemaHeaders(s, append(path, name), true, onlyProperties, seen, depth+1); err != nil {
					return err // at once, because the next property takes the place of name in the path
				}
			}
		case "enum", "const", "default", "examples", "required": // data, not schemas
		case "$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies":
			for _, s := range jsonscan.Members(v) {
				check(s)
			}
		default: // items, anyOf, not, if, …: a schema, a list of schemas, or a value without subschemas
			check(v)
			for s := range jsonscan.Elements(v) {
				check(s)
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case annotation == nil:
		return nil
	case !onlyProperties || !isProperty:
		return &annotationError{path: path, problem: "is allowed only in the schema of an argument"}
	}
	return checkAnnotation(annotation, kind, path, seen)
}

// checkAnnotation checks one annotation. usedNames contains the header names used so far, in lower case.
func checkAnnotation(value, kind json.RawMessage, path []string, usedNames map[string]bool) *annotationError {
	name := jsonscan.Unquote(value)
	switch t := jsonscan.Unquote(kind); {
	case t != "string" && t != "integer" && t != "boolean":
		return &annotationError{path: path, problem: "is allowed only for properties of type string, integer or boolean"}
	case name == "":
		return &annotationError{path: path, problem: "has no header name"}
	case !httpx.IsToken(name):
		return &annotationError{path, name, "is not a header name (RFC 9110 §5.1)"}
	case usedNames[strings.ToLower(name)]:
		return &annotationError{path, name, "is used twice"}
	}
	usedNames[strings.ToLower(name)] = true
	return nil
}

// annotationError reports an invalid header annotation.
type annotationError struct {
	path    []string // the names of the properties; empty: the annotation is outside of the properties
	name    string   // the header name; may be empty
	problem string   // what is wrong, without text of the server
}

// text describes the error. clean removes secrets from the names, which come from the server.
func (e *annotationError) text(clean func(string) string) string {
	text := mcphttp.HeaderKeyword
	if len(e.path) > 0 {
		text = fmt.Sprintf("property %s: %s", httpx.Quote(clean(strings.Join(e.path, ".")), 100), text)
	}
	if e.name != "" {
		text += fmt.Sprintf(" %s", httpx.Quote(clean(e.name), 60))
	}
	return text + " " + e.problem
}
