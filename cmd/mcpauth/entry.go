package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"mcpauth/internal/config"
	"mcpauth/pkg/flow"
)

// loadConfig loads the configuration files once. If there are none, loadConfig returns an empty File. With an error, it returns the entries that
// config.Load returns.
func (p *program) loadConfig(ctx context.Context) (*config.File, error) {
	if p.file != nil {
		return p.file, nil
	}
	places, err := p.configPlaces()
	if err != nil {
		return nil, err
	}
	for _, e := range places.Ignored {
		advice := ""
		if filepath.Base(e.Path) == ".mcp.json" { // the other file is the user's own config.json
			advice = "; to use it, " + ownCopy
		}
		p.out.printWarning("%s is ignored, because %s%s", e.Path, e.Reason, advice)
	}
	file, err := config.Load(ctx, places)
	if err != nil {
		return file, err
	}
	for _, e := range file.Skipped() {
		p.out.printDetail("%s: the server %q is skipped: %s", e.Path, e.Name, e.Skipped)
	}
	p.file = file
	return file, nil
}

// warnOfMistakes prints a warning for each entry of the user's own file that is skipped because of a mistake. Only a command that lists the
// entries, or does not find one, prints them: a job that uses another server should not get them each time.
func (p *program) warnOfMistakes(file *config.File) {
	for _, e := range file.Skipped() {
		if e.Odd && !e.Found {
			p.out.printWarning("%s: the server %q is skipped: %s", e.Position(), e.Name, e.Skipped)
		}
	}
}

// configPlaces finds the configuration files.
func (p *program) configPlaces() (config.Places, error) {
	dir, _ := os.Getwd() // os.Getwd fails if the working directory was deleted; then there is no project's file
	home, _ := p.homeFolder()
	return config.Find(p.global.config, dir, home, p.getenv)
}

// isUnusable reports whether an entry is skipped or has no valid URL.
func isUnusable(e config.Entry) bool {
	if e.Skipped != "" || strings.Contains(e.URL, "${") {
		return e.Skipped != ""
	}
	_, err := serverURL(e.URL)
	return err != nil
}

// readEntry returns the server of a configuration entry, with the settings that n requires.
func (p *program) readEntry(ctx context.Context, file *config.File, raw config.Entry, n need) (server, error) {
	if !n.settings && raw.Skipped == "" && !strings.Contains(raw.URL, "${") {
		t, err := serverURL(raw.URL)
		t.Profile = raw.Name
		if raw.Found && p.namesSecret() {
			_, untrusted := p.checkListed(ctx, raw)
			t.NameOfProject = untrusted != nil
		}
		return server{target: t}, errorInFile(raw, err)
	}
	var files map[string]string
	var untrusted error
	if raw.Found && raw.Skipped == "" {
		files, untrusted = p.checkListed(ctx, raw)
	}
	if untrusted != nil && (!raw.Uses().Nothing() || p.namesSecret()) { // headers need trust only for a login; see server.noToken
		return server{}, untrusted
	}
	e, err := file.Entry(raw.Name, p.getenv)
	if err != nil {
		return server{}, err
	}
	p.hideVariables(raw.SecretVariables()...)
	s := server{inProject: raw.Found}
	s.target, err = serverURL(e.URL)
	if err != nil {
		return s, errorInFile(e, err)
	}
	s.target.Profile, s.target.Header, s.target.ApprovedFiles = e.Name, http.Header{}, files
	if s.target.NameOfProject = untrusted != nil; len(e.Headers) > 0 {
		s.noToken = untrusted
	}
	for name, value := range e.Headers {
		if s.noToken == nil { // headers from an untrusted file are not secrets of the user
			p.out.secrets.AddHeader(name, value)
		}
		switch err := setHeader(s.target.Header, name, value); {
		case errors.Is(err, errReserved):
			p.out.printDetail("%s: the server %q: the header %s is ignored: mcpauth sets it itself", e.Path, e.Name, foreignName(name))
		case err != nil:
			return s, errorInFile(e, err)
		}
	}
	if raw.Found && s.target.Header.Get("Authorization") != "" {
		s.noToken = &configError{message: fmt.Sprintf("%s: the server %s has the header Authorization, which cannot be combined with a login", e.Path, quote(e.Name)),
			hint: "to use a login, give the URL instead of the name: " + p.hintAbout(shellWord(s.target.URL)).withoutSecrets().loginLine()}
	}
	return p.applyAuth(s, e, n)
}

// applyAuth applies the auth block of an entry. If a variable in the auth block is not set, a command other than login continues without
// the auth block, because the stored login contains the same settings.
func (p *program) applyAuth(s server, e config.Entry, n need) (server, error) {
	a, err := e.ExpandAuth(p.getenv)
	if err != nil && n.settings && !n.login {
		p.out.printDetail("a login would fail: %v", err)
		s.noLogin = true
		return s, nil
	}
	if a == nil || err != nil {
		return s, err
	}
	scopes := strings.Fields(a.Scope)
	if err := errorInFile(e, checkScopes("auth.scope", scopes)); err != nil {
		return s, err
	}
	if a.Unused != "" {
		p.out.printDetail("%s: the server %q: %s is ignored: mcpauth discovers the authorization server; auth.issuer or --issuer chooses one", e.Path, e.Name, a.Unused)
	}
	p.hideSecrets(a.ClientSecret)
	t := &s.target
	t.ClientID, t.ClientSecret, t.Scopes, t.ClientMetadataURL = a.ClientID, flow.Secret(a.ClientSecret), scopes, a.ClientMetadataURL
	t.SecretParts = convert(a.Secrets, func(v string) flow.Secret { return flow.Secret(v) })
	t.Issuer, t.IssuerOfProject = a.Issuer, s.inProject && a.Issuer != ""
	t.Grant, t.ClientKeyFile, t.AssertionFile = flow.Grant(a.Grant), a.ClientKey, a.AssertionFile
	t.CallbackHost, t.CallbackPort, t.DPoP = a.CallbackHost, a.CallbackPort, flow.DPoP(a.DPoP)
	return s, nil
}

// errorInFile adds the names of the file and the entry to an error.
func errorInFile(e config.Entry, err error) error {
	if err == nil {
		return nil
	}
	return &configError{message: fmt.Sprintf("%s: server %s: %v", e.Path, quote(e.Name), err)}
}
