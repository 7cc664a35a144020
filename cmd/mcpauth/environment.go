package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// getenv returns the value of an environment variable, or "" if the variable is not set.
func (p *program) getenv(name string) string {
	v, _ := p.lookupEnv(name)
	return v
}

// readVariable returns the value of an environment variable that the user named.
func (p *program) readVariable(what, name string) (string, error) {
	plain := func(r rune) bool {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.TrimFunc(name, plain) != "" { // the name may be a secret that the user gave instead of the name of a variable
		return "", &configError{message: what + ": the text is not the name of a variable"}
	}
	v, ok := p.lookupEnv(name)
	if !ok || v == "" {
		return "", &configError{message: fmt.Sprintf("%s: the variable %s is not set", what, quote(name))}
	}
	p.hideSecrets(v)
	return v, nil
}

// childEnvironment returns environ without the variables that contain secrets, and with a variable for each server's URL. A server can choose
// a token that is a part of PATH, so a token counts only if it is a whole word of a value, or such a word after "=".
func (p *program) childEnvironment(environ []string, addresses map[string]string) []string {
	names := []string{accessTokenVariable, "MCPAUTH_KEYSTORE_URL"}
	if p.global.keystore == keystore.Postgres || p.getenv("MCPAUTH_KEYSTORE") == keystore.Postgres {
		names = append(names, "PGPASSWORD", "PGSSLPASSWORD")
	}
	c := p.flowClient.Load()
	environ = slices.DeleteFunc(environ, func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		secret := func(s string) bool {
			return value != "" && (s == value || len(value) >= 8 && strings.Contains(s, value))
		}
		return slices.Contains(names, name) || strings.HasPrefix(name, "MCPAUTH_URL") || slices.Contains(p.secretEntries, entry) ||
			slices.ContainsFunc(p.secrets, secret) || p.out.secrets.Holds(value) || c != nil && holdsCredential(c, value)
	})
	for name, address := range addresses {
		environ = append(environ, name+"="+address)
	}
	if len(addresses) > 0 {
		environ = p.bypassProxy(environ)
	}
	return environ
}

// bypassProxy adds 127.0.0.1 to the hosts that a command reaches without a proxy, because the proxy would learn the secret in a local URL.
// Some programs read NO_PROXY, others no_proxy.
func (p *program) bypassProxy(environ []string) []string {
	upper, lower := p.getenv("NO_PROXY"), p.getenv("no_proxy")
	with := func(name, hosts string) string {
		if strings.TrimSpace(hosts) == "*" { // no host is reached through a proxy
			return name + "=" + hosts
		}
		return name + "=" + strings.TrimPrefix(hosts+",127.0.0.1", ",")
	}
	return append(environ, with("NO_PROXY", cmp.Or(upper, lower)), with("no_proxy", cmp.Or(lower, upper)))
}

// holdsCredential reports whether a word of a value, or the rest of a word after "=", is a credential of a login.
func holdsCredential(c *flow.Client, value string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(value, separatesWords), func(word string) bool {
		_, assigned, _ := strings.Cut(word, "=")
		return c.IsCredential(word) || c.IsCredential(assigned)
	})
}

// separatesWords reports whether a character separates words in a header, in JSON, in a query or in the words of a shell.
func separatesWords(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\"'`,;?&#|(){}[]<>\\", r)
}
