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
	unfinished  bool // only an unfinished login has the name

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
	p.out.secrets.AddTyped(t.URL, t.Profile)
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
	if isA[*config.Error](err) {
		if file == nil {
			file = &config.File{}
		}
		if !n.settings || slices.Contains(file.Names(), word) { // a stored login needs no configuration, so that logout works
			p.out.printWarning("%v", err)
			err = nil
		}
	}
	if err != nil {
		return server{}, err
	}
	stored, unfinished, damaged := p.findLogins(ctx, word)
	if damaged != nil && !errors.Is(damaged, keystore.ErrCorrupt) { // see loginByURL
		return server{}, damaged
	}
	e, ok := file.Servers[word]
	pending := n.unfinished && len(stored) == 0 && (!ok || e.Found && isUnusable(e))
	if pending {
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
		a := p.hintAbout("").aboutUnfinished(unfinished[0])
		if len(unfinished) > 1 {
			a.server = "URL"
		}
		hint := "begin again: " + a.loginLine()
		if slices.ContainsFunc(unfinished, func(t flow.Target) bool { return p.flowClient.Load().HasPending(ctx, t) }) {
			hint = "finish it: " + a.loginLine("--callback-url", "URL") + "; to " + hint
		}
		return server{}, &usageError{message: fmt.Sprintf("unknown server %s: its login is not finished", quote(word)), hint: hint}
	case len(stored) == 0:
		return server{}, p.unknownName(ctx, word, file)
	case len(stored) == 1:
		return server{target: stored[0], unfinished: pending}, nil
	}
	return server{}, usage(fmt.Sprintf("several logins are called %s: %s and %s; use the URL", quote(word), stored[0].URL, stored[1].URL))
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
				hint: "to use the stored login, give its URL instead of the name; to log in to the other server too, if you trust it: " + p.hintAbout(shellWord(s.target.URL)).withoutSecrets().loginLine("--name", "OTHER")}
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
	p.warnOfMistakes(file) // the entry may be there
	known = append(known, file.Names()...)
	where := "among the stored logins (no configuration file was read)"
	if file.Path != "" {
		where = "among the stored logins and in " + file.Path
	}
	e := &usageError{message: fmt.Sprintf("unknown server %s: no such name %s", quote(word), where), hint: "give a URL (https://…)"}
	if isLoginName(word) {
		e.hint += ", or store one under this name: " + p.hintAbout("URL").loginLine("--name", word)
	}
	known = slices.DeleteFunc(known, func(name string) bool { return !canBeShown(name) })
	if near := toolargs.Nearest(word, known); len(near) > 0 {
		e.hint = "did you mean " + strings.Join(convert(near, dataWord), " or ") + "?"
	} else if strings.ContainsAny(word, "./") {
		e.hint = "an address begins with https://"
	}
	return e
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

// resolveTargets finds the login that each word names or, with --all, all stored logins. For logout, the result contains unfinished logins too.
func (p *program) resolveTargets(ctx context.Context, words []string, all bool, n need) ([]server, error) {
	if all {
		list, err := p.allLogins(ctx)
		list = slices.DeleteFunc(list, func(s flow.Status) bool { return !n.logout && noToken(s) })
		return convert(list, func(s flow.Status) server { return server{word: nameOrURL(s), target: targetOf(s)} }), err
	}
	var out []server
	for _, word := range words {
		if n.logout {
			unfinished, only := p.unfinishedLogins(ctx, word)
			if out = append(out, unfinished...); only {
				continue
			}
		}
		s, err := p.resolveServer(ctx, word, n)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// unfinishedLogins returns the unfinished logins that have this name or URL. only reports whether there is no other login.
func (p *program) unfinishedLogins(ctx context.Context, word string) (list []server, only bool) {
	if t, err := serverURL(word); err == nil {
		word = t.URL
	}
	logins, unfinished, _ := p.findLogins(ctx, word) // resolveServer returns the error
	return convert(unfinished, func(t flow.Target) server { return server{word: word, target: t} }), len(logins) == 0 && len(unfinished) > 0
}

// targetOf returns the target that selects a stored login.
func targetOf(s flow.Status) flow.Target {
	t := flow.Target{URL: s.URL}
	if s.Name != nil {
		t.Profile = *s.Name
	}
	return t
}

// nameOrURL returns a SERVER argument that selects a login: its name, or else its URL.
func nameOrURL(s flow.Status) string {
	if s.Name != nil {
		return *s.Name
	}
	return s.URL
}

// isLoginName reports whether --name accepts a name.
func isLoginName(name string) bool {
	odd := func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r == '@' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	return name != "" && len(name) <= 64 && !strings.HasPrefix(name, "-") && !strings.ContainsFunc(name, odd)
}
