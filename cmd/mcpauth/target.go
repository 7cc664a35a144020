package main

// A SERVER argument selects a server and one of its logins.
//
// A URL selects the unnamed login for that URL, or else the only named login. If a URL has several logins, all of them named, mcpauth
// reports an error. A URL never selects a configuration entry. mcpauth sends the headers and secrets of an entry only if SERVER is the name
// of the entry. A name selects a configuration entry or a stored login. If an entry and a login have the same name but different URLs,
// mcpauth reports an error, except for logout, which ends the login. Without this check, a project's file could send the calls of a login to
// another server.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// A need says what a command reads about a server, besides its URL and the name of its login, and which logins it finds.
type need struct {
	settings   bool // the headers of the configuration entry, and its auth block if all variables of the block are set
	login      bool // the command logs in, so an unset variable of the auth block is an error
	unfinished bool // an unfinished login counts, if the word selects no other login
	named      bool // --name gives the name of the login, so a URL selects no stored login
	logout     bool // the URL of a stored login counts, and not that of the entry; see also resolveTargets
}

var (
	needStored  = need{} // the variables of an entry are read only if its URL has one
	needLogout  = need{logout: true}
	needAll     = need{settings: true}
	needLogin   = need{settings: true, login: true}
	needPending = need{settings: true, login: true, unfinished: true}
	needNamed   = need{settings: true, login: true, named: true}
)

// A server describes the MCP server and the login that a SERVER argument selects.
type server struct {
	word        string // as the user typed it, for hints
	target      flow.Target
	staticToken bool // the token in MCPAUTH_ACCESS_TOKEN is used; see header.go
	inProject   bool // the server is an entry of a project's file; see trust.go
	noLogin     bool // a variable that a login needs is not set

	noToken error // the reason why the headers of the entry must not be sent with a token, or nil
}

// shellArgument returns the SERVER argument, quoted for a shell, or SERVER if it cannot be shown.
func (s server) shellArgument() string {
	if word := httpx.WithoutUser(s.word); word != "" && isShowable(word) {
		return shellWord(word)
	}
	return "SERVER"
}

// resolveServer finds the server that a SERVER argument selects.
func (p *program) resolveServer(ctx context.Context, word string, n need) (s server, err error) {
	if strings.Contains(word, "://") {
		s.target, err = p.loginByURL(ctx, word, n)
	} else {
		s, err = p.serverByName(ctx, word, n)
		err = cmp.Or(err, p.checkNameOfProject(s.target))
	}
	s.word = word
	if err == nil {
		err = p.applyGlobals(&s.target)
	}
	return s, errorAt(s, err)
}

// applyGlobals adds the certificate and the headers of the global flags to t.
func (p *program) applyGlobals(t *flow.Target) (err error) {
	t.CertFile, t.CertKeyFile = p.global.certFile, p.global.certKeyFile
	t.Header, err = p.mergeHeaders(t.Header)
	p.out.secrets.AddTyped(t.URL)
	return err
}

// loginByURL chooses the login for a URL.
func (p *program) loginByURL(ctx context.Context, word string, n need) (flow.Target, error) {
	t, err := serverURL(word)
	if err != nil || n.named {
		return t, err
	}
	if p.global.config != "" { // if --config names a file, it must be readable
		if _, err := p.loadConfig(ctx); err != nil {
			return t, err
		}
	}
	stored, unfinished, err := p.findLogins(ctx, t.URL)
	if err != nil && !errors.Is(err, keystore.ErrCorrupt) { // the damaged record may belong to another server; if it belongs to this server, a later step reports the error
		return t, err
	}
	stored = slices.DeleteFunc(stored, func(s flow.Target) bool { return !p.hasToken(ctx, s) })
	if n.unfinished && len(stored) == 0 {
		stored = unfinished
	}
	return pickProfile(t, stored)
}

// serverURL checks a URL that the user gave.
func serverURL(word string) (flow.Target, error) {
	t, err := flow.NewTarget(word)
	if err != nil {
		return t, &usageError{message: err.Error()}
	}
	return t, nil
}

// pickProfile chooses one of the logins that are stored for a URL. A login that got its name in a project that the user has not trusted counts
// only if there is no other login.
func pickProfile(t flow.Target, stored []flow.Target) (flow.Target, error) {
	if own := slices.DeleteFunc(slices.Clone(stored), func(s flow.Target) bool { return s.NameOfProject }); len(own) > 0 {
		stored = own
	}
	names := convert(stored, func(s flow.Target) string { return s.Profile })
	switch {
	case len(names) == 0 || slices.Contains(names, ""):
		return t, nil
	case len(names) == 1:
		return stored[0], nil
	}
	slices.Sort(names)
	return t, &usageError{message: fmt.Sprintf("%s has several logins: %s", t.URL, strings.Join(convert(names, foreignName), ", ")), hint: "use the name instead of the URL"}
}

// serverByName finds the configuration entry or the stored login with this name.
func (p *program) serverByName(ctx context.Context, word string, n need) (server, error) {
	file, err := p.loadConfig(ctx)
	if err != nil && !n.settings && isA[*config.Error](err) { // a stored login needs no configuration, so that logout works
		p.out.printWarning("%v", err)
		file, err = &config.File{}, nil
	}
	if err != nil {
		return server{}, err
	}
	stored, unfinished, damaged := p.findLogins(ctx, word)
	if damaged != nil && !errors.Is(damaged, keystore.ErrCorrupt) { // see loginByURL
		return server{}, damaged
	}
	e, ok := file.Servers[word]
	if n.unfinished && len(stored) == 0 && (!ok || e.Found && isUnusable(e)) {
		stored = unfinished
	}
	switch {
	case len(stored) == 0 && damaged != nil && (!ok || e.Found): // the damaged login may have this name, which a project's file must not take
		return server{}, damaged
	case ok && !(e.Found && isUnusable(e) && len(stored) > 0): // a project's file cannot disable a stored login
		s, err := p.serverByEntry(ctx, file, e, stored, n)
		if err == nil && !n.settings && !e.Found {
			p.maskHeaders(e, s.target)
		}
		return s, err
	case len(stored) == 0 && len(unfinished) > 0:
		e := &usageError{message: fmt.Sprintf("unknown server %s: its login is not finished", quote(word)), hint: "finish it: " + p.hintAbout(shellWord(word)).withoutSecrets().loginLine("--callback-url", "URL")}
		if isLoginName(word) {
			e.hint += ", or begin again: " + p.hintAbout("URL").loginLine("--name", word)
		}
		return server{}, e
	case len(stored) == 0:
		return server{}, p.unknownName(ctx, word, file)
	case len(stored) == 1:
		return server{target: stored[0]}, nil
	}
	return server{}, usage(fmt.Sprintf("several logins are called %s: %s and %s; use the URL", quote(word), stored[0].URL, stored[1].URL))
}

// isUnusable reports whether an entry is skipped or has no valid URL.
func isUnusable(e config.Entry) bool {
	if e.Skipped != "" || strings.Contains(e.URL, "${") {
		return e.Skipped != ""
	}
	_, err := serverURL(e.URL)
	return err != nil
}

// serverByEntry returns the server of a configuration entry, or an error if a stored login of the same name has another URL.
func (p *program) serverByEntry(ctx context.Context, file *config.File, e config.Entry, stored []flow.Target, n need) (server, error) {
	if len(stored) == 1 && (n.logout || !n.settings && e.Skipped == "" && strings.Contains(e.URL, "${")) {
		stored[0].NameOfProject = stored[0].NameOfProject && e.Found
		return server{target: stored[0]}, nil // the stored login has the URL, so the entry is not needed
	}
	s, err := p.readEntry(ctx, file, e, n)
	switch {
	case err != nil:
		return s, err
	case len(s.target.Header) == 0: // mcpauth sets the headers of the entry itself
		s.noToken = nil
	case s.noToken != nil && n.login:
		return s, s.noToken
	}
	for _, login := range stored {
		if login.URL != s.target.URL {
			return s, &configError{message: fmt.Sprintf("the name %s means %s in %s, but %s in the stored login", quote(e.Name), s.target.URL, e.Path, login.URL),
				hint: "use the URL, or another file: --config FILE"}
		}
		s.target.NameOfProject = s.target.NameOfProject && login.NameOfProject
	}
	if !n.settings || n.login { // login knows its flags later
		return s, nil
	}
	p.protectLogin(&s, nil)
	return s, p.flowClient.Load().CheckStored(ctx, s.target)
}

// unknownName returns an error that says where mcpauth looked for the name, and suggests similar names.
func (p *program) unknownName(ctx context.Context, word string, file *config.File) error {
	var known []string
	all, _ := p.flowClient.Load().Statuses(ctx)
	for _, s := range all {
		if s.Name != nil && !s.IsUnfinished() {
			known = append(known, *s.Name)
		}
	}
	known = append(known, file.Names()...)
	where := "among the stored logins (no configuration file was found)"
	if file.Path != "" {
		where = "among the stored logins and in " + file.Path
	}
	e := &usageError{message: fmt.Sprintf("unknown server %s: no such name %s", quote(word), where), hint: "give a URL (https://…)"}
	if isLoginName(word) {
		e.hint += ", or store one under this name: " + p.hintAbout("URL").loginLine("--name", word)
	}
	if near := toolargs.Nearest(word, known); len(near) > 0 {
		e.hint = "did you mean " + strings.Join(convert(near, dataWord), " or ") + "?"
	} else if strings.ContainsAny(word, "./") {
		e.hint = "an address begins with https://"
	}
	return e
}

// loadConfig loads the configuration files once. If there are none, loadConfig returns an empty File.
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
		p.out.printWarning("%s is ignored, because %s%s", e.Path, quotedForShell(e.Reason), advice)
	}
	file, err := config.Load(ctx, places)
	if err != nil {
		return nil, err
	}
	for _, e := range file.Skipped() {
		print := p.out.printDetail
		if e.Odd && !e.Found {
			print = p.out.printWarning
		}
		print("%s: the server %q is skipped: %s", e.Path, e.Name, e.Skipped)
	}
	p.file = file
	return file, nil
}

// configPlaces finds the configuration files.
func (p *program) configPlaces() (config.Places, error) {
	dir, _ := os.Getwd() // os.Getwd fails if the working directory was deleted; then there is no project's file
	home, _ := p.homeFolder()
	return config.Find(p.global.config, dir, home, p.getenv)
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

// findLogins returns the results of Find. If some logins are damaged, findLogins returns the others.
func (p *program) findLogins(ctx context.Context, word string) (logins, unfinished []flow.Target, err error) {
	c, err := p.loginClient()
	if err != nil {
		return nil, nil, err
	}
	if logins, unfinished, err = c.Find(ctx, word); len(logins) > 0 {
		err = nil
	}
	return logins, unfinished, err
}

// hasToken reports whether a stored login has a token.
func (p *program) hasToken(ctx context.Context, t flow.Target) bool {
	s, err := p.flowClient.Load().Status(ctx, t)
	return err != nil || s.State != flow.StateNone
}

// allLogins returns every stored login, including unfinished ones.
func (p *program) allLogins(ctx context.Context) ([]flow.Status, error) {
	c, err := p.loginClient()
	if err != nil {
		return nil, err
	}
	return c.Statuses(ctx)
}
