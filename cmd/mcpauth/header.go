package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
)

// accessTokenVariable is the name of the variable that can contain a bearer token. The token is used instead of a stored login.
const accessTokenVariable = "MCPAUTH_ACCESS_TOKEN"

// errReserved means that only mcpauth itself may set a header.
var errReserved = errors.New("mcpauth sets it itself")

// mergeHeaders adds the headers of --header to the headers of a configuration entry, and replaces headers of the same name.
func (p *program) mergeHeaders(base http.Header) (http.Header, error) {
	all := base.Clone()
	if all == nil {
		all = http.Header{}
	}
	given := http.Header{}
	for _, line := range p.global.headers.Value() {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, usage("--header needs 'Name: value', but there is no colon")
		}
		name = strings.TrimSpace(name)
		value, err := p.headerValue(name, strings.TrimSpace(value))
		if err != nil {
			return nil, err
		}
		if err := setHeader(given, name, value); err != nil {
			return nil, usage("--header: " + err.Error())
		}
		p.out.secrets.AddHeader(name, value)
	}
	maps.Copy(all, given)
	return all, nil
}

// headerValue returns the value of a header. A value @FILE is read from the file, and a value $VAR is read from the environment variable.
func (p *program) headerValue(name, value string) (string, error) {
	switch {
	case !httpx.IsToken(name):
		return "", usage("--header: " + errHeaderName.Error())
	case value == placeholderValue:
		return "", usage(fmt.Sprintf("--header %s: %s stands for the value that you gave in an earlier command", removeControls(name), value))
	case strings.HasPrefix(value, "@"):
		data, err := httpx.ReadNamed(value[1:], maxSecret)
		if err != nil {
			return "", &configError{message: fmt.Sprintf("--header %s: %v", removeControls(name), err)}
		}
		text := strings.TrimRight(string(data), "\r\n")
		p.hideSecrets(text)
		return text, nil
	case strings.HasPrefix(value, "$"):
		return p.readVariable("--header "+removeControls(name), value[1:])
	}
	return value, nil
}

// errHeaderName means that a text is not the name of a header. The error does not contain the text, because the user may have written the value
// in its place.
var errHeaderName = errors.New("the header name is missing or contains an invalid character")

// setHeader adds a header to h if its name and value are valid (RFC 9110 §5.1, §5.5) and if users may set it. The error never contains the
// value.
func setHeader(h http.Header, name, value string) error {
	if !httpx.IsToken(name) {
		return errHeaderName
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("the value of %s holds a line end or another control character", name)
	}
	switch name = http.CanonicalHeaderKey(name); name {
	case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Accept", "Mcp-Session-Id", "Mcp-Protocol-Version", "Last-Event-Id", "Dpop":
		return fmt.Errorf("%s: %w", name, errReserved)
	}
	h[name] = append(h[name], value)
	return nil
}

// maskHeaders masks the headers of the user's own entry in a command that does not send them, because the server knows them from other commands.
func (p *program) maskHeaders(e config.Entry, t flow.Target) {
	p.hideVariables(e.SecretVariables()...)
	for name, value := range e.SetHeaders(p.getenv) {
		p.out.secrets.AddHeader(name, value)
		p.flowClient.Load().LoginSecrets(t).AddHeader(name, value)
	}
}

// staticTarget returns the server for a command that uses MCPAUTH_ACCESS_TOKEN. staticTarget does not open the store.
func (p *program) staticTarget(word string) (flow.Target, error) {
	if !strings.Contains(word, "://") {
		return flow.Target{}, &usageError{message: accessTokenVariable + " needs a SERVER given by URL, so that the token cannot go to another server",
			hint: "give the URL instead of " + quote(word) + ", or unset " + accessTokenVariable}
	}
	t, err := serverURL(word)
	if err != nil {
		return t, err
	}
	if err := p.applyGlobals(&t); err != nil {
		return t, err
	}
	if t.Header.Get("Authorization") != "" {
		return t, usage(accessTokenVariable + " and --header Authorization contradict each other")
	}
	p.hideSecrets(p.getenv(accessTokenVariable))
	if err := setHeader(t.Header, "Authorization", "Bearer "+p.getenv(accessTokenVariable)); err != nil {
		return t, &configError{message: accessTokenVariable + ": " + err.Error()}
	}
	return t, nil
}
