package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/mcpclient"
)

// toolText describes the arguments of a tool and gives an example call.
func toolText(t mcpclient.Tool, server string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", shortName(t.Name, 200))
	if d := strings.TrimSpace(t.Description); d != "" {
		fmt.Fprintf(&b, "\n    %s\n", strings.ReplaceAll(foldLines(d), "\n", "\n    ")) // indented more than the example, so that no line of the server looks like a line of mcpauth
	}
	properties := toolargs.Parse(t.InputSchema).Properties()
	if len(properties) > 0 {
		fmt.Fprintf(&b, "\nArguments:\n")
	}
	var values []exampleValue
	for _, a := range properties {
		fmt.Fprintf(&b, "  %s\n", argumentLine(a))
		if a.Description != "" {
			fmt.Fprintf(&b, "      %s\n", httpx.Text(a.Description, 500))
		}
		if a.Required {
			values = append(values, argumentExample(a))
		}
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n", callLine(server, t.Name, values))
	return b.String()
}

// foldLines folds the blanks in each line of a text. At the beginning of a line, it keeps up to 8 blanks, for lists and for code.
func foldLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.ReplaceAll(line, "\t", "    ")
		indent := min(len(line)-len(strings.TrimLeft(line, " ")), 8)
		lines[i] = strings.TrimRight(strings.Repeat(" ", indent)+foldLine(line), " ")
	}
	return strings.Join(lines, "\n")
}

// argumentLine describes an argument on one line.
func argumentLine(a toolargs.Property) string {
	words := []string{a.Types}
	if a.Required {
		words = append(words, "required")
	}
	if len(a.Default) > 0 {
		words = append(words, "default "+shownValue(a.Default))
	}
	if len(a.Enum) > 0 {
		words = append(words, "one of "+strings.Join(convert(a.Enum, shownValue), " "))
	}
	return shortName(a.Name, 200) + " " + cutName("("+strings.Join(words, ", ")+")", 300)
}

// shownValue returns a text as the user can type it after =, and any other value, or a text that cannot be typed there, as JSON. Both have the
// quotes of the shell if they need them. A value of more than 300 bytes is cut, because many arguments may refer to the same large value.
func shownValue(raw json.RawMessage) string {
	shown, text := string(raw[:min(len(raw), 300)]), ""
	if strings.HasPrefix(shown, `"`) && json.Unmarshal([]byte(shown), &text) == nil && isShowable(text) && !strings.HasPrefix(text, "@") { // =@ names a file
		shown = text
	}
	q := shellQuoting()
	if q.escape != nil && len(raw) <= 300 && isShowable(shown) && foreignName(shown) != shown {
		return q.quote(shown)
	}
	return shortName(shown, 300)
}

// argumentExample returns a value that the argument allows.
func argumentExample(a toolargs.Property) exampleValue {
	switch {
	case len(a.Default) > 0 && len(a.Default) < 300:
		return exampleValue{a.Name, a.Default}
	case len(a.Enum) > 0 && len(a.Enum[0]) < 300:
		return exampleValue{a.Name, a.Enum[0]}
	}
	kind, _, _ := strings.Cut(a.Types, " or ")
	value := map[string]string{"integer": "1", "number": "1.5", "boolean": "true", "array": "[]", "object": "{}", "null": "null"}[kind]
	return exampleValue{a.Name, json.RawMessage(value)}
}
