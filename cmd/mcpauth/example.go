package main

import (
	"encoding/json"
	"strings"
	"unicode"
)

// maxExampleWords limits the number of arguments in an example.
const maxExampleWords = 30

// exampleValue is an argument in an example call. The value is JSON, or empty for a placeholder.
type exampleValue struct {
	name  string
	value json.RawMessage
}

// callLine returns an example call as a shell command that the user can paste. All names and values come from the server, so they are
// quoted: a shell must not execute them, and mcpauth must not read them as flags or files.
func callLine(server, tool string, values []exampleValue) string {
	words := []string{"mcpauth", "call", server}
	odd := len(values) > maxExampleWords
	for _, v := range values {
		odd = odd || !plainName(v.name)
	}
	if odd { // --args can contain any name, but name=value cannot
		words = append(words, "--args", shellWord(wholeExample(values)))
		values = nil
	}
	words = append(words, dataWord(tool))
	for _, v := range values {
		words = append(words, v.typedForm())
	}
	return strings.Join(words, " ")
}

// typedForm returns the argument as a user would type it.
func (v exampleValue) typedForm() string {
	if len(v.value) == 0 {
		return shellWord(v.name + "=TEXT")
	}
	var text string
	if json.Unmarshal(v.value, &text) == nil && text == removeControls(text) && !strings.HasPrefix(text, "@") && !strings.ContainsAny(text, "\n\t") {
		return shellWord(v.name + "=" + text)
	}
	return shellWord(v.name + ":=" + compactJSON(v.value))
}

// plainName reports whether a property's name can be written as NAME=VALUE without quotes.
func plainName(name string) bool {
	return name != "" && !strings.HasPrefix(name, "-") && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r == '_' || r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r))
	})
}

// wholeExample returns all arguments as one JSON object.
func wholeExample(values []exampleValue) string {
	var members []string
	for _, v := range values {
		name, _ := json.Marshal(v.name)
		value := v.value
		if len(value) == 0 {
			value = json.RawMessage(`"TEXT"`)
		}
		members = append(members, string(name)+":"+compactJSON(value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// compactJSON encodes JSON again, on one line.
func compactJSON(raw json.RawMessage) string {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return "null"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(data)
}
