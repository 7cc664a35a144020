// This file finds out which server a SERVER argument means, as whom.
//
// A URL means the login stored for it: the unnamed one, else the only named one. What a configuration file says of the same URL does
// not apply: its headers and secrets go out only where its entry is asked for by name. A name means an entry of the configuration file
// or a stored login; when both exist and lead to different servers, neither is taken, so that a project's file cannot slip another
// server under the name of a login.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
)

// need says what a command wants to know of a server.
type need int

const (
	needStored need = iota // only which login it is: variables in the configuration entry are not expanded
	needAll                // headers and client credentials too
	needNamed              // the same, but under which name is said by --name
)

// target finds the server that a word means.
func (p *program) target(ctx context.Context, word string, n need) (flow.Target, error) {
	p.word = word
	var t flow.Target
	var err error
	if strings.Contains(word, "://") {
		t, err = p.byURL(ctx, word, n)
	} else {
		t, err = p.byName(ctx, word, n)
	}
	if err != nil {
		return t, err
	}
	t.Header, err = p.headers(t.Header)
	return t, err
}

// byURL finds the login of a URL.
func (p *program) byURL(ctx context.Context, word string, n need) (flow.Target, error) {
	t, err := serverURL(word)
	if err != nil || n == needNamed {
		return t, err
	}
	if p.global.config != "" { // asked for by flag: it must at least be readable
		if _, err := p.configuration(); err != nil {
			return t, err
		}
	}
	stored, err := p.find(ctx, t.URL)
	if err != nil {
		return t, err
	}
	return pickProfile(t, slices.DeleteFunc(stored, func(s flow.Target) bool { return !p.hasToken(ctx, s) }))
}

// serverURL checks an address that the user typed.
func serverURL(word string) (flow.Target, error) {
	u, err := httpx.CheckServer(word)
	if err != nil {
		return flow.Target{}, &usageError{message: err.Error()}
	}
	return flow.Target{URL: httpx.Canonical(u)}, nil
}

// pickProfile chooses among the logins stored for a URL.
func pickProfile(t flow.Target, stored []flow.Target) (flow.Target, error) {
	var names []string
	for _, s := range stored {
		if s.Profile == "" {
			return t, nil
		}
		names = append(names, s.Profile)
	}
	switch len(names) {
	case 0:
		return t, nil
	case 1:
		t.Profile = names[0]
		return t, nil
	}
	slices.Sort(names)
	return t, &usageError{message: fmt.Sprintf("%s has several logins: %s", t.URL, harmless(strings.Join(names, ", "))), hint: "use the name in place of the URL"}
}

// byName finds a configuration entry or a stored login.
func (p *program) byName(ctx context.Context, word string, n need) (flow.Target, error) {
	file, err := p.configuration()
	if err != nil {
		return flow.Target{}, err
	}
	stored, err := p.find(ctx, word)
	if err != nil {
		return flow.Target{}, err
	}
	stored = slices.DeleteFunc(stored, func(t flow.Target) bool { return t.Profile != word })
	if _, ok := file.Servers[word]; ok {
		t, err := p.entry(file, word, n)
		if err != nil {
			return t, err
		}
		for _, s := range stored {
			if s.URL != t.URL {
				return t, &configError{message: fmt.Sprintf("the name %s means %s in %s, but %s in the stored login", quote(word), t.URL, file.Path, s.URL),
					hint: "use the URL that is meant, or another file: --config FILE"}
			}
		}
		return t, nil
	}
	switch len(stored) {
	case 0:
		return flow.Target{}, p.unknownName(ctx, word, file)
	case 1:
		return stored[0], nil
	}
	return flow.Target{}, usage(fmt.Sprintf("several logins are called %s: %s and %s; use the URL", quote(word), stored[0].URL, stored[1].URL))
}

// unknownName says where a name was looked for, and what it may have meant.
func (p *program) unknownName(ctx context.Context, word string, file *config.File) error {
	var known []string
	all, _ := p.flowClient.Statuses(ctx)
	for _, s := range all {
		if s.Name != nil {
			known = append(known, *s.Name)
		}
	}
	known = append(known, file.Names()...)
	where := "among the stored logins (no configuration file was found)"
	if file.Path != "" {
		where = "among the stored logins and in " + file.Path
	}
	e := &usageError{message: fmt.Sprintf("unknown server %s: no such name %s", quote(word), where),
		hint: "give a URL (https://…), or name one: mcpauth login URL --name " + shellWord(harmless(word))}
	if near := nearest(word, known); len(near) > 0 {
		e.hint = "did you mean " + harmless(strings.Join(near, " or ")) + "?"
	} else if strings.ContainsAny(word, "./") {
		e.hint = "an address begins with https://"
	}
	return e
}

// configuration loads the configuration file; without one it is empty.
func (p *program) configuration() (*config.File, error) {
	path := p.global.config
	if path == "" {
		dir, err := os.Getwd()
		if err != nil {
			dir = ""
		}
		home, _ := p.home()
		if path, err = config.Find(dir, home, p.getenv); err != nil {
			return nil, err
		}
	}
	if path == "" {
		return &config.File{}, nil
	}
	file, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, e := range file.Skipped() {
		p.out.detail("%s: the server %q is passed over: %s", path, e.Name, e.Skipped)
	}
	return file, nil
}

// entry makes a target of a configuration entry.
func (p *program) entry(file *config.File, word string, n need) (flow.Target, error) {
	if raw := file.Servers[word]; n == needStored && raw.Skipped == "" && !strings.Contains(raw.URL, "${") {
		t, err := serverURL(raw.URL)
		t.Profile = word
		return t, inFile(file, word, err)
	}
	e, err := file.Entry(word, p.getenv)
	if err != nil {
		return flow.Target{}, err
	}
	t, err := serverURL(e.URL)
	if err != nil {
		return t, inFile(file, word, err)
	}
	t.Profile, t.Header = word, map[string][]string{}
	for name, value := range e.Headers {
		_, credentials, _ := strings.Cut(value, " ")
		p.secrets = append(p.secrets, value, credentials)
		if err := setHeader(t.Header, name, value); err != nil {
			return t, inFile(file, word, err)
		}
	}
	if a := e.Auth; a != nil {
		p.secrets = append(p.secrets, a.ClientSecret)
		t.ClientID, t.ClientSecret, t.Scopes, t.ClientMetadataURL = a.ClientID, a.ClientSecret, strings.Fields(a.Scope), a.ClientMetadataURL
		t.Issuer, t.Grant, t.ClientKeyFile, t.AssertionFile = a.Issuer, a.Grant, beside(file, a.ClientKey), beside(file, a.AssertionFile)
		t.CallbackHost, t.CallbackPort, t.DPoP = a.CallbackHost, a.CallbackPort, a.DPoP
		if a.Unused != "" {
			p.out.detail("%s: the server %q: %s is passed over: the authorization server is discovered; auth.issuer or --issuer picks one", file.Path, word, a.Unused)
		}
	}
	return t, nil
}

// inFile says in which entry of which file something is wrong.
func inFile(file *config.File, word string, err error) error {
	if err == nil {
		return nil
	}
	return &configError{message: fmt.Sprintf("%s: server %s: %v", file.Path, quote(word), err)}
}

// beside reads a file name of the configuration relative to the configuration file.
func beside(file *config.File, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file.Path), name)
}

// find looks among the stored logins. What was found counts even where other entries are damaged.
func (p *program) find(ctx context.Context, word string) ([]flow.Target, error) {
	c, err := p.flow()
	if err != nil {
		return nil, err
	}
	found, err := c.Find(ctx, word)
	if len(found) > 0 {
		err = nil
	}
	return found, err
}

// hasToken tells logins from what is left of one that did not come to its end, such as a registration.
func (p *program) hasToken(ctx context.Context, t flow.Target) bool {
	s, err := p.flowClient.Status(ctx, t)
	return err != nil || s.State != flow.StateNone
}

// all returns every stored login, and what is left of others.
func (p *program) all(ctx context.Context) ([]flow.Status, error) {
	c, err := p.flow()
	if err != nil {
		return nil, err
	}
	return c.Statuses(ctx)
}

// stored is a login as a SERVER argument: its name, else its URL.
func stored(s flow.Status) string {
	if s.Name != nil {
		return *s.Name
	}
	return s.URL
}

// checkName refuses names that could not be told from URLs or flags, or that mean another server already.
func (p *program) checkName(ctx context.Context, name, url string) error {
	odd := func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r == '@' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	if name == "" || len(name) > 64 || strings.HasPrefix(name, "-") || strings.ContainsFunc(name, odd) {
		return usage("--name: a name is 1 to 64 letters, digits and ._@-, not beginning with -")
	}
	t, err := p.byName(ctx, name, needStored)
	var unknown *usageError
	switch {
	case err == nil && t.URL != url:
		return &usageError{message: fmt.Sprintf("--name: %s is the name of %s already", name, t.URL), hint: "choose another name"}
	case errors.As(err, &unknown):
		return nil
	}
	return err
}
