// This file puts variables into the values of an entry: ${VAR}, ${VAR:-default}, and ${env:VAR} as VS Code writes it.

package config

import (
	"fmt"
	"strings"
)

// Entry returns one server with its variables expanded. Variables of other entries do not matter. An entry that is not there is
// ErrUnknown; a variable that is not set, and an entry that is none of ours, are an *Error.
func (f *File) Entry(name string, getenv func(string) string) (Entry, error) {
	e, ok := f.Servers[name]
	if !ok {
		return Entry{}, fmt.Errorf("%s: %w: %q", f.Path, ErrUnknown, name)
	}
	fault := func(reason string) error {
		return &Error{Path: f.Path, Line: e.line, Column: e.column, Reason: fmt.Sprintf("server %q: %s", name, reason)}
	}
	if e.Skipped != "" {
		return Entry{}, fault(e.Skipped)
	}
	var err error
	put := func(s string) string {
		out, e := expand(s, getenv)
		if e != nil && err == nil {
			err = fault(e.Error())
		}
		return out
	}
	e.URL = put(e.URL)
	headers := map[string]string{}
	for k, v := range e.Headers {
		headers[k] = put(v)
	}
	e.Headers = headers
	if e.Auth != nil {
		a := *e.Auth
		for _, target := range a.texts() {
			*target = put(*target)
		}
		e.Auth = &a
		if a.ClientSecret != "" && a.ClientID == "" && err == nil {
			err = fault("auth.clientSecret needs auth.clientId, the client it belongs to")
		}
	}
	return e, err
}

// expand replaces the variables of one value. A "$" that begins none stays as it is.
func expand(s string, getenv func(string) string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		word, rest, ok := strings.Cut(after, "}")
		if !ok {
			return "", fmt.Errorf("${ without its }")
		}
		name, otherwise, hasDefault := strings.Cut(word, ":-")
		name = strings.TrimPrefix(name, "env:")
		if strings.HasPrefix(name, "input:") {
			return "", fmt.Errorf("${%s} is a question that VS Code asks: write ${env:NAME}, and put the value into that variable", word)
		}
		if !isName(name) {
			return "", fmt.Errorf("${%s} is no variable: expected ${NAME} or ${NAME:-default}", word)
		}
		value := getenv(name)
		if value == "" && hasDefault {
			value = otherwise
		} else if value == "" {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		b.WriteString(value)
		s = rest
	}
}

func isName(s string) bool {
	for i, r := range s {
		if !(r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || i > 0 && '0' <= r && r <= '9') {
			return false
		}
	}
	return s != ""
}
