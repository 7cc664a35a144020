package config

import (
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// maxValue bounds a value with its variables in it, in bytes: a short text may name a long variable many times.
const maxValue = 64 << 10

// Entry returns one server with the variables of its address and headers expanded. Those of auth are needed by a login only: see ExpandAuth.
// An entry that is not there is ErrUnknown; a variable that is not set, and an entry that cannot be used, are an *Error.
func (f *File) Entry(name string, getenv func(string) string) (Entry, error) {
	e, ok := f.Servers[name]
	if !ok {
		return Entry{}, fmt.Errorf("%s: %w: %q", f.Path, ErrUnknown, name)
	}
	if e.Skipped != "" {
		return Entry{}, e.fault(e.Skipped)
	}
	var err error
	if e.URL, err = expand(e.URL, getenv); err != nil {
		return Entry{}, e.fault(err.Error())
	}
	headers := map[string]string{}
	for k, v := range e.Headers {
		if headers[k], err = expand(v, getenv); err != nil {
			return Entry{}, e.fault(err.Error())
		}
	}
	e.Headers = headers
	return e, nil
}

// ExpandAuth returns the block auth with its variables expanded and its files relative to the configuration file; nil if there is no block.
// The error is an *Error.
func (e Entry) ExpandAuth(getenv func(string) string) (*Auth, error) {
	if e.Auth == nil {
		return nil, nil
	}
	a := *e.Auth
	for _, value := range a.texts() {
		var err error
		if *value, err = expand(*value, getenv); err != nil {
			return nil, e.fault(err.Error())
		}
	}
	for _, file := range []*string{&a.ClientKey, &a.AssertionFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(e.Path), *file)
		}
	}
	if a.ClientSecret != "" && a.ClientID == "" {
		return nil, e.fault("auth.clientSecret needs auth.clientId, the client it belongs to")
	}
	return &a, nil
}

func (e Entry) fault(reason string) error {
	return &Error{Path: e.Path, Line: e.line, Column: e.column, Reason: short(fmt.Sprintf("server %q: %s", e.Name, reason))}
}

// Uses is what an entry takes from its user beyond an address and plain headers.
type Uses struct {
	Variables []string `json:"variables"`
	Files     []string `json:"files"`
	Auth      []string `json:"auth"` // the members of the block
}

// Nothing reports whether the entry can do without the user's trust.
func (u Uses) Nothing() bool { return len(u.Variables)+len(u.Files)+len(u.Auth) == 0 }

// Uses lists what the entry takes.
func (e Entry) Uses() Uses {
	variables := map[string]bool{}
	note := func(value string) {
		for name := range namesIn(value) {
			variables[name] = true
		}
	}
	u := Uses{Files: []string{}, Auth: []string{}}
	note(e.URL)
	for _, value := range e.Headers {
		note(value)
	}
	if a := e.Auth; a != nil {
		for name, value := range a.texts() {
			if *value == "" {
				continue
			}
			note(*value)
			u.Auth = append(u.Auth, name)
		}
		for _, file := range []string{a.ClientKey, a.AssertionFile} {
			if file != "" && !filepath.IsAbs(file) {
				file = filepath.Join(filepath.Dir(e.Path), file)
			}
			if file != "" {
				u.Files = append(u.Files, file)
			}
		}
		if a.CallbackPort != 0 {
			u.Auth = append(u.Auth, "callbackPort")
		}
	}
	u.Variables = slices.AppendSeq([]string{}, maps.Keys(variables))
	slices.Sort(u.Variables)
	slices.Sort(u.Auth)
	return u
}

// expand replaces the variables of one value: ${VAR}, ${VAR:-default}, and ${env:VAR} as VS Code writes it. A "$" that begins no variable stays.
func expand(s string, getenv func(string) string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "${")
		b.WriteString(before)
		if b.Len() > maxValue {
			return "", fmt.Errorf("a value is larger than %d kB", maxValue>>10)
		}
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
			return "", fmt.Errorf("${%s} is an input that VS Code asks for: write ${env:NAME} and set that variable", word)
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

// namesIn yields the variables of a value, however long it is: what expand refuses for one value of a variable may pass with another.
func namesIn(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, after := range strings.Split(s, "${")[1:] {
			word, _, _ := strings.Cut(after, "}")
			name, _, _ := strings.Cut(word, ":-")
			if name = strings.TrimPrefix(name, "env:"); isName(name) && !yield(name) {
				return
			}
		}
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
