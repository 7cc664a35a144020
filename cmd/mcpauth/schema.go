// This file reads a tool's input schema, and shows it as a list of arguments.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/mcpclient"
)

// toolText lists the arguments of a tool for a reader, and a call to begin with.
func toolText(t mcpclient.Tool, server string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", httpx.Text(t.Name, 200))
	if d := strings.TrimSpace(t.Description); d != "" {
		fmt.Fprintf(&b, "\n%s\n", harmless(d))
	}
	properties := properties(t.InputSchema)
	if len(properties) > 0 {
		fmt.Fprintf(&b, "\nArguments:\n")
	}
	example := "mcpauth call " + server + " " + shellWord(harmless(t.Name))
	for _, a := range properties {
		fmt.Fprintf(&b, "  %s\n", a.line())
		if a.Description != "" {
			fmt.Fprintf(&b, "      %s\n", httpx.Text(a.Description, 500))
		}
		if a.required {
			example += " " + a.example()
		}
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n", example)
	return b.String()
}

// property is one argument of a tool, as its input schema describes it.
type property struct {
	name        string
	required    bool
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Enum        []json.RawMessage `json:"enum"`
}

// properties reads the arguments from an input schema, required ones first, in the schema's order.
func properties(schema json.RawMessage) []property {
	var s struct {
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil
	}
	var all []property
	for _, name := range members(s.Properties) {
		a := property{name: name, required: slices.Contains(s.Required, name)}
		var each map[string]json.RawMessage
		_ = json.Unmarshal(s.Properties, &each)
		_ = json.Unmarshal(each[name], &a) // a schema may be just true
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b property) int {
		switch {
		case a.required == b.required:
			return 0
		case a.required:
			return -1
		}
		return 1
	})
	return all
}

// members returns the names in a JSON object in their order.
func members(object json.RawMessage) []string {
	dec := json.NewDecoder(bytes.NewReader(object))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	var names []string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return names
		}
		names = append(names, tok.(string))
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return names
		}
	}
	return names
}

// kind is the type of an argument in words.
func (a property) kind() string {
	switch t := a.Type.(type) {
	case string:
		return t
	case []any:
		var words []string
		for _, one := range t {
			words = append(words, fmt.Sprint(one))
		}
		return strings.Join(words, " or ")
	}
	return "any"
}

// line is an argument on one line.
func (a property) line() string {
	words := []string{a.kind()}
	if a.required {
		words = append(words, "required")
	}
	if len(a.Default) > 0 {
		words = append(words, "default "+string(a.Default))
	}
	if len(a.Enum) > 0 {
		var values []string
		for _, v := range a.Enum {
			values = append(values, string(v))
		}
		words = append(words, "one of "+strings.Join(values, " "))
	}
	return httpx.Text(fmt.Sprintf("%s (%s)", a.name, strings.Join(words, ", ")), 300)
}

// example is an argument as one would type it.
func (a property) example() string {
	value := map[string]string{"integer": "1", "number": "1.5", "boolean": "true", "array": "[]", "object": "{}", "null": "null"}[a.kind()]
	switch {
	case len(a.Default) > 0:
		value = string(a.Default)
	case len(a.Enum) > 0:
		value = string(a.Enum[0])
	case value == "":
		return shellWord(harmless(a.name)) + "=TEXT"
	}
	var text string
	if json.Unmarshal([]byte(value), &text) == nil {
		return shellWord(harmless(a.name + "=" + text))
	}
	return shellWord(harmless(a.name + ":=" + value))
}
