package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/config"
	"mcpauth/pkg/flow"
)

type loginOptions struct {
	name, browser, callbackURL            string
	all, noBrowser, printURL, secretStdin bool
	secretEnv, secretFile, idpSecretEnv   string
	scopes, authParams                    cli.StringSlice
	settings                              flow.Settings
	flow                                  flow.LoginOptions
}

const (
	groupClient  = "Pre-registered client"
	groupBrowser = "Browser and callback"
	groupGrant   = "Other grants"
	groupCompat  = "Compatibility options"
)

func loginCommand(p *program) *cli.Command {
	var o loginOptions
	return &cli.Command{
		Name: "login", ArgsUsage: "SERVER | --all",
		Usage: "log in to a server in the browser and store the credential",
		UsageText: "mcpauth login https://mcp.example.com/mcp --name example\n" +
			"mcpauth login example --if-needed\n" +
			"mcpauth login https://mcp.example.com/mcp --client-id cli --client-secret-env SECRET",
		Flags: loginFlags(&o),
		Action: func(cx *cli.Context) error {
			if o.all {
				if cx.Args().Len() > 0 || cx.IsSet("name") || o.printURL || o.callbackURL != "" {
					return usage("--all takes no SERVER and cannot be combined with --name, --print-url or --callback-url")
				}
				return runLoginAll(cx.Context, p, o)
			}
			return oneServer(func(ctx context.Context, word string) error { return runLogin(ctx, p, word, o, cx.IsSet("name")) })(cx)
		},
	}
}

func loginFlags(o *loginOptions) []cli.Flag {
	f, l := &o.settings, &o.flow
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` store the login under this name; use several names to log in to one server with several accounts", Destination: &o.name},
		&cli.BoolFlag{Name: "all", Usage: "log in to every server in the configuration files that has no usable login", Destination: &o.all},
		&cli.BoolFlag{Name: "if-needed", Usage: "do nothing if a usable or renewable token is stored", Destination: &l.IfNeeded},
		&cli.StringFlag{Name: "expect-account", Usage: "`NAME` reject a login as another account; NAME is the email, user name or subject that status shows", Destination: &f.ExpectAccount},
		&cli.StringSliceFlag{Name: "scope", Usage: "`SCOPE` request this scope instead of the one the server names; repeatable or space separated", Destination: &o.scopes, Action: checkScopeFlag},
		&cli.StringFlag{Name: "issuer", Usage: "`URL` use only this authorization server", Destination: &f.Issuer},

		&cli.StringFlag{Name: "client-id", Category: groupClient, Usage: "`ID` client ID of a pre-registered client", Destination: &f.ClientID},
		&cli.StringFlag{Name: "client-secret-env", Category: groupClient, Usage: "`VAR` read the client secret from this variable", Destination: &o.secretEnv},
		&cli.StringFlag{Name: "client-secret-file", Category: groupClient, Usage: "`FILE` read the client secret from this file", Destination: &o.secretFile},
		&cli.BoolFlag{Name: "client-secret-stdin", Category: groupClient, Usage: "read the client secret from standard input", Destination: &o.secretStdin},
		&cli.StringFlag{Name: "client-metadata-url", Category: groupClient, Usage: "`URL` use the client ID metadata document at this URL", Destination: &f.ClientMetadataURL},

		&cli.StringFlag{Name: "callback-host", Category: groupBrowser, Usage: "`HOST` host of the redirect URI: 127.0.0.1 (default) or localhost", Destination: &f.CallbackHost},
		&cli.IntFlag{Name: "callback-port", Category: groupBrowser, Usage: "`PORT` port of the redirect URI; default: the port of the stored registration, or else a free port", Destination: &f.CallbackPort},
		&cli.StringFlag{Name: "browser", Category: groupBrowser, Usage: "`CMD` open the authorization URL with this program; none: open no browser", Destination: &o.browser},
		&cli.BoolFlag{Name: "no-browser", Category: groupBrowser, Usage: "print the authorization URL on stderr and wait", Destination: &o.noBrowser},
		&cli.BoolFlag{Name: "print-url", Category: groupBrowser, Usage: "print the authorization URL on stdout and exit; finish with --callback-url", Destination: &o.printURL},
		&cli.StringFlag{Name: "callback-url", Category: groupBrowser, Usage: "`URL` finish the login that --print-url began; URL is the last address in the browser; - reads this address from standard input; with --no-browser, - also waits for the callback", Destination: &o.callbackURL},

		&cli.StringFlag{Name: "grant", Category: groupGrant, Usage: "`GRANT` " + strings.Join(toStrings(flow.Grants()), ", "), Destination: (*string)(&f.Grant)},
		&cli.StringFlag{Name: "client-key", Category: groupGrant, Usage: "`FILE` private key (PEM or JWK) to use instead of a client secret", Destination: &f.ClientKeyFile},
		&cli.StringFlag{Name: "assertion-file", Category: groupGrant, Usage: "`FILE` jwt_bearer: same as --assertion file:FILE", Destination: &f.AssertionFile},
		&cli.StringFlag{Name: "assertion", Category: groupGrant, Usage: "`SOURCE` jwt_bearer: where to read the assertion: " + strings.Join(flow.AssertionSources(), ", "), Destination: &f.Assertion},
		&cli.StringFlag{Name: "idp-issuer", Category: groupGrant, Usage: "`URL` enterprise: sign in at this identity provider in the browser once; later renewals need no browser", Destination: &f.IDP.Issuer},
		&cli.StringFlag{Name: "idp-token-endpoint", Category: groupGrant, Usage: "`URL` enterprise: token endpoint of the identity provider", Destination: &f.IDP.TokenEndpoint},
		&cli.StringFlag{Name: "idp-client-id", Category: groupGrant, Usage: "`ID` enterprise: client ID at the identity provider", Destination: &f.IDP.ClientID},
		&cli.StringFlag{Name: "idp-client-secret-env", Category: groupGrant, Usage: "`VAR` enterprise: read the secret of that client from this variable", Destination: &o.idpSecretEnv},
		&cli.StringFlag{Name: "idp-id-token-file", Category: groupGrant, Usage: "`FILE` enterprise: read the ID token from this file", Destination: &f.IDP.IDTokenFile},
		&cli.StringFlag{Name: "dpop", Category: groupGrant, Usage: "`WHEN` bind tokens to a key (DPoP): auto (default), always or never", Destination: (*string)(&f.DPoP)},

		&cli.StringFlag{Name: "resource", Category: groupCompat, Usage: "`URI` send this value as the resource parameter", Destination: &f.Resource},
		&cli.BoolFlag{Name: "no-resource", Category: groupCompat, Usage: "omit the resource parameter", Destination: &f.NoResource},
		&cli.BoolFlag{Name: "assume-pkce-s256", Category: groupCompat, Usage: "continue if the metadata does not announce PKCE", Destination: &f.AssumePKCES256},
		&cli.StringSliceFlag{Name: "auth-param", Category: groupCompat, Usage: "`NAME=VALUE` add a parameter to the authorization request; NAME= removes the parameter; repeatable", Destination: &o.authParams},
		&cli.StringFlag{Name: "client-name", Category: groupCompat, Usage: "`NAME` register with this client name", Destination: &f.ClientName},
		&cli.BoolFlag{Name: "new-client", Category: groupCompat, Usage: "register a new client", Destination: &l.NewClient},
		&cli.BoolFlag{Name: "strict", Category: groupCompat, Usage: "treat every deviation from the specifications as an error", Destination: &f.Strict},
		&cli.BoolFlag{Name: "accept-new-issuer", Category: groupCompat, Usage: "accept that the authorization server changed", Destination: &l.AcceptNewIssuer},
	}
}

func runLogin(ctx context.Context, p *program, server string, o loginOptions, named bool) error {
	s, address, err := p.logInTo(ctx, server, o, named)
	switch {
	case err != nil:
		return err
	case o.printURL:
		return p.printAddress(address)
	case p.out.json:
		return p.out.writeDocument(s)
	}
	p.out.printNote("logged in to %s%s: %s", foreignName(nameOrURL(s)), describeAccount(s), describeLifetime(s))
	return nil
}

// runLoginAll logs in to one server after another. If one login fails, runLoginAll continues with the next server.
func runLoginAll(ctx context.Context, p *program, o loginOptions) error {
	file, err := p.loadConfig(ctx)
	if err != nil {
		return err
	}
	p.warnOfMistakes(file)
	o.flow.IfNeeded = true
	list, failed := []flow.Status{}, error(nil)
	for _, name := range file.Names() {
		var s flow.Status
		if err = p.checkProjectEntry(file.Servers[name]); err == nil {
			s, _, err = p.logInTo(ctx, name, o, false)
		}
		if err != nil {
			p.out.printWarning("%s: %v", foreignName(name), err)
			failed = cmp.Or(failed, err)
			continue
		}
		list = append(list, s)
		p.out.printNote("logged in to %s%s: %s", foreignName(nameOrURL(s)), describeAccount(s), describeLifetime(s))
	}
	if p.out.json {
		if err := p.out.writeDocument(list); err != nil {
			return err
		}
	}
	if failed != nil {
		return fmt.Errorf("%d of %d servers: %w", len(file.Names())-len(list), len(file.Names()), failed)
	}
	return nil
}

// checkProjectEntry returns an error if the login would send a secret from the command line to a server from a project's file.
func (p *program) checkProjectEntry(e config.Entry) error {
	if !e.Found || !p.namesSecret() {
		return nil
	}
	return &configError{message: "--all sends no secret of the command line to a server of a project's file", hint: "to send it anyway, trust the file, and log in to this server by name with these flags: " + p.hintAbout(server{word: e.Name}.shellArgument()).loginLine()}
}

// logInTo logs in to one server. With --print-url, logInTo only returns the authorization URL.
func (p *program) logInTo(ctx context.Context, word string, o loginOptions, named bool) (st flow.Status, address string, err error) {
	s, err := p.resolveLoginServer(ctx, word, &o, named)
	if err != nil {
		return st, "", err
	}
	defer func() { err = errorAt(s, err) }()
	o.flow.Timeout = p.timeLimit("login")
	c, err := p.loginClient()
	if err != nil {
		return st, "", err
	}
	command, ok := p.chooseBrowser(o.browser, o.noBrowser)
	pasting := o.callbackURL == "-" && o.noBrowser
	p.setDialogue(c, loginDialogue{pasting: pasting, deviceLine: p.out.json}, command, ok)
	if o.printURL {
		address, err = c.Pending(ctx, s.target, o.flow)
		return st, address, err
	}
	if pasting {
		o.flow.Paste, o.callbackURL = p.newPaste(), ""
	}
	if st, err = p.loginOrFinish(ctx, c, s.target, o); err != nil || o.flow.IfNeeded {
		return st, "", err
	}
	if m, err := p.mcpClient(ctx, s.target, c.Handler(s.target, flow.HandlerOptions{Reauth: flow.ReauthNever})); err == nil {
		m.EndSessions() // ends the sessions of the previous login
	}
	return st, "", nil
}

// resolveLoginServer finds the server of a login and applies the flags, including --name, to it.
func (p *program) resolveLoginServer(ctx context.Context, word string, o *loginOptions, named bool) (server, error) {
	if err := o.checkFlags(); err != nil {
		return server{}, err
	}
	n := needLogin
	switch {
	case named:
		n = needNamed
	case o.callbackURL != "":
		n = needPending
	}
	s, err := p.resolveServer(ctx, word, n)
	if err != nil {
		return s, err
	}
	if named {
		if err := p.checkName(ctx, o.name, s.target.URL); err != nil {
			return s, err
		}
		s.target.Profile, s.target.NameOfProject = o.name, false
	}
	secret, err := p.clientSecret(*o)
	if err != nil {
		return s, err
	}
	o.settings.ClientSecret = flow.Secret(secret)
	if o.idpSecretEnv != "" {
		idpSecret, err := p.readVariable("--idp-client-secret-env", o.idpSecretEnv)
		if err != nil {
			return s, err
		}
		o.settings.IDP.ClientSecret = flow.Secret(idpSecret)
	}
	flags := flow.Target{}
	o.applyTo(&flags)
	s.target.Flags = flags.Settings
	p.protectLogin(&s, &flags.Settings)
	o.applyTo(&s.target)
	o.flow.IssuerGiven = o.settings.Issuer != ""
	return s, p.flowClient.Load().CheckStored(ctx, s.target)
}

// checkName returns an error for a name that looks like a URL or a flag, or that already belongs to another server.
func (p *program) checkName(ctx context.Context, name, url string) error {
	if !isLoginName(name) {
		return usage("--name: a name is 1 to 64 letters, digits and ._@-, not beginning with -")
	}
	s, err := p.serverByName(ctx, name, needStored)
	if err != nil && !isA[*usageError](err) {
		return err
	}
	owners, _, _ := p.findLogins(ctx, name) // several logins can have the name
	for _, t := range append(owners, s.target) {
		if t.URL != "" && t.URL != url {
			return &usageError{message: fmt.Sprintf("--name: %s is already the name of %s", name, t.URL), hint: "choose another name"}
		}
	}
	return nil
}
