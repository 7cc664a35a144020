package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// maxValue limits the size of an expanded value in bytes. A short text may refer to a long variable many times.
const maxValue = 64 << 10

// maxParts limits the number of variables in a client secret. A login spends some time on each of them.
const maxParts = 20

// maxPath limits the size of a path in bytes. Linux opens no longer path.
const maxPath = 4096

// Entry returns one server with the variables of its URL and headers expanded. The variables of Auth are not expanded, because only a login
// needs them: see ExpandAuth. Entry returns ErrUnknown if no entry has this name, and an *Error if a variable is not set or the entry
// cannot be used.
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
		return Entry{}, e.fault(err)
	}
	headers := map[string]string{}
	for k, v := range e.Headers {
		if headers[k], err = expand(v, getenv); err != nil {
			return Entry{}, e.fault(err)
		}
	}
	e.Headers = headers
	return e, nil
}

// SetHeaders returns the headers whose variables are all set, with the variables expanded.
func (e Entry) SetHeaders(getenv func(string) string) map[string]string {
	headers := map[string]string{}
	for name, value := range e.Headers {
		if text, err := expand(value, getenv); err == nil {
			headers[name] = text
		}
	}
	return headers
}

// ExpandAuth returns Auth with its variables expanded, or nil if the entry has no Auth. Relative paths are resolved against the folder of
// the configuration file. The error is an *Error.
func (e Entry) ExpandAuth(getenv func(string) string) (*Auth, error) {
	if e.Auth == nil {
		return nil, nil
	}
	a := *e.Auth
	parts := slices.Compact(slices.Sorted(slices.Values(variableNames(a.ClientSecret))))
	if len(parts) > maxParts {
		return nil, e.fault(fmt.Sprintf("auth.clientSecret has more than %d variables", maxParts))
	}
	for _, name := range parts {
		a.Secrets = append(a.Secrets, getenv(name))
	}
	for _, value := range a.stringFields() {
		var err error
		if *value, err = expand(*value, getenv); err != nil {
			return nil, e.fault(err)
		}
	}
	for _, file := range []*string{&a.ClientKey, &a.AssertionFile} {
		var err error
		if *file, err = e.resolvePath(*file); err != nil {
			return nil, e.fault(err)
		}
	}
	if a.ClientSecret != "" && a.ClientID == "" {
		return nil, e.fault("auth.clientSecret needs auth.clientId, the client it belongs to")
	}
	return &a, nil
}

// unsetError is the error for a variable that is not set.
type unsetError struct{ name string }

func (e *unsetError) Error() string { return "the variable " + e.name + " is not set" }

// fault returns an error about the entry. reason is a text, or an error of expand.
func (e Entry) fault(reason any) error {
	f := e.doc.fault(e.offset, "server %q: %v", e.Name, reason)
	if unset, ok := reason.(*unsetError); ok {
		f.Variable = unset.name
	}
	return f
}

// Uses lists the variables, files and settings that an entry uses. If the entry is in a project's file, mcpauth uses them only after the
// user has trusted the file.
type Uses struct {
	Variables []string `json:"variables"`
	Files     []string `json:"files"`
	Auth      []string `json:"auth"`             // names of the members of `auth`
	Issuer    string   `json:"issuer,omitempty"` // value of the member issuer, the authorization server that gets the secrets; "": none
	Headers   []string `json:"headers"`          // names of the headers; if no login is stored, they need no trust
}

// Nothing reports whether the entry uses no variables, files or settings.
func (u Uses) Nothing() bool { return len(u.Variables)+len(u.Files)+len(u.Auth) == 0 }

// resolvePath resolves a relative path against the folder of the configuration file. The result is clean, because the list of trusted files
// must have the same path as the stored login. A path of more than maxPath bytes is an error.
func (e Entry) resolvePath(file string) (string, error) {
	switch {
	case len(file) > maxPath:
		return "", fmt.Errorf("the path of a file has more than %d bytes", maxPath)
	case file == "":
		return "", nil
	case filepath.IsAbs(file):
		return filepath.Clean(file), nil
	}
	return filepath.Join(filepath.Dir(e.Path), file), nil
}

// Files maps each path that the entry contains to the path of the file that a login opens, with variables expanded. A path is omitted if
// ExpandAuth returns an error for it.
func (e Entry) Files(getenv func(string) string) map[string]string {
	files := map[string]string{}
	for _, written := range e.filePaths() {
		file, err := expand(written, getenv)
		if err == nil {
			file, err = e.resolvePath(file)
		}
		if err == nil && file != "" {
			files[written] = file
		}
	}
	return files
}

// filePaths returns the paths of files in the entry, without expanding their variables.
func (e Entry) filePaths() []string {
	if e.Auth == nil {
		return nil
	}
	return slices.DeleteFunc([]string{e.Auth.ClientKey, e.Auth.AssertionFile}, func(file string) bool { return file == "" })
}

// Uses lists the variables, files and settings that the entry uses. No variable is expanded, because its value may be a secret.
func (e Entry) Uses() Uses {
	u := Uses{Variables: append([]string{}, variableNames(e.URL)...), Files: []string{}, Auth: []string{}, Headers: []string{}}
	for name, value := range e.Headers {
		u.Headers = append(u.Headers, name)
		u.Variables = append(u.Variables, variableNames(value)...)
	}
	if a := e.Auth; a != nil {
		for name, value := range a.stringFields() {
			if *value == "" {
				continue
			}
			u.Variables = append(u.Variables, variableNames(*value)...)
			u.Auth = append(u.Auth, name)
		}
		u.Files, u.Issuer = append(u.Files, e.filePaths()...), a.Issuer
		if a.CallbackPort != 0 {
			u.Auth = append(u.Auth, "callbackPort")
		}
	}
	slices.Sort(u.Variables)
	u.Variables = slices.Compact(u.Variables)
	slices.Sort(u.Auth)
	slices.Sort(u.Headers)
	return u
}

// SecretVariables returns the names of the variables in the headers and in the client secret.
func (e Entry) SecretVariables() []string {
	var names []string
	for _, value := range e.Headers {
		names = append(names, variableNames(value)...)
	}
	if e.Auth != nil {
		names = append(names, variableNames(e.Auth.ClientSecret)...)
	}
	return names
}

// expand replaces the variables of one value: ${VAR}, ${VAR:-default}, and VS Code's ${env:VAR}. expand does not change a "$" that is not
// followed by "{".
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
			return "", errors.New("${ without }")
		}
		name, otherwise, hasDefault := strings.Cut(word, ":-")
		name = strings.TrimPrefix(name, "env:")
		if strings.HasPrefix(name, "input:") {
			return "", errors.New("${input:…} is an input that VS Code asks for: write ${env:NAME} and set that variable")
		}
		if !isName(name) {
			return "", errors.New("a text in ${…} is not a variable: expected ${NAME} or ${NAME:-default}") // the text may contain a secret as default
		}
		value := getenv(name)
		if value == "" && hasDefault {
			value = otherwise
		} else if value == "" {
			return "", &unsetError{name}
		}
		b.WriteString(value)
		s = rest
	}
}

// variableNames returns the names of the variables in a value. Unlike expand, variableNames has no size limit, because the names do not
// depend on the values of the variables.
func variableNames(s string) []string {
	var names []string
	for _, after := range strings.Split(s, "${")[1:] {
		word, _, _ := strings.Cut(after, "}")
		name, _, _ := strings.Cut(word, ":-")
		if name = strings.TrimPrefix(name, "env:"); isName(name) {
			names = append(names, name)
		}
	}
	return names
}

func isName(s string) bool {
	for i, r := range s {
		if !(r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || i > 0 && '0' <= r && r <= '9') {
			return false
		}
	}
	return s != ""
}
