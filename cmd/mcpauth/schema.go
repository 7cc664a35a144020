package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/mcpclient"
)

// toolText lists the arguments of a tool for a reader, and a call to begin with.
func toolText(t mcpclient.Tool, server string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", httpx.Text(t.Name, 200))
	if d := strings.TrimSpace(t.Description); d != "" {
		fmt.Fprintf(&b, "\n%s\n", harmless(d))
	}
	properties := toolargs.Parse(t.InputSchema).Properties()
	if len(properties) > 0 {
		fmt.Fprintf(&b, "\nArguments:\n")
	}
	example := []string{"mcpauth", "call", server, shellWord(harmless(t.Name))}
	for _, a := range properties {
		fmt.Fprintf(&b, "  %s\n", argumentLine(a))
		if a.Description != "" {
			fmt.Fprintf(&b, "      %s\n", httpx.Text(a.Description, 500))
		}
		if a.Required {
			example = append(example, argumentExample(a))
		}
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n", strings.Join(example, " "))
	return b.String()
}

// argumentLine describes an argument on one line.
func argumentLine(a toolargs.Property) string {
	words := []string{a.Types}
	if a.Required {
		words = append(words, "required")
	}
	if len(a.Default) > 0 {
		words = append(words, "default "+short(a.Default))
	}
	if len(a.Enum) > 0 {
		var values []string
		for _, v := range a.Enum {
			values = append(values, short(v))
		}
		words = append(words, "one of "+strings.Join(values, " "))
	}
	return httpx.Text(fmt.Sprintf("%s (%s)", a.Name, strings.Join(words, ", ")), 300)
}

// short bounds a value that is shown. Many arguments may refer to one that is large.
func short(raw json.RawMessage) string { return string(raw[:min(len(raw), 300)]) }

// argumentExample is an argument as a person would type it.
func argumentExample(a toolargs.Property) string {
	kind, _, _ := strings.Cut(a.Types, " or ")
	value := map[string]string{"integer": "1", "number": "1.5", "boolean": "true", "array": "[]", "object": "{}", "null": "null"}[kind]
	switch {
	case len(a.Default) > 0 && len(a.Default) < 300:
		value = string(a.Default)
	case len(a.Enum) > 0 && len(a.Enum[0]) < 300:
		value = string(a.Enum[0])
	case value == "":
		return shellWord(harmless(a.Name)) + "=TEXT"
	}
	var text string
	if json.Unmarshal([]byte(value), &text) == nil {
		return shellWord(harmless(a.Name + "=" + text))
	}
	return shellWord(harmless(a.Name + ":=" + value))
}
