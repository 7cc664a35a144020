// loginoptions.go checks the flags of login and applies them to the settings.

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
)

// maxSecret is the largest number of bytes that a file with a secret, and a secret or an address on standard input, may have.
const maxSecret = 64 << 10

// checkFlags returns an error if a flag has an invalid value, or if flags contradict each other.
func (o loginOptions) checkFlags() error {
	for _, pair := range []struct {
		a, b   bool
		an, bn string
	}{
		{o.noBrowser, o.browser != "" && o.browser != "none", "--no-browser", "--browser"},
		{o.settings.Assertion != "", o.settings.AssertionFile != "", "--assertion", "--assertion-file"},
		{o.printURL, o.callbackURL != "", "--print-url", "--callback-url"},
		{o.settings.NoResource, o.settings.Resource != "", "--no-resource", "--resource"},
		{o.secretEnv != "", o.secretFile != "", "--client-secret-env", "--client-secret-file"},
		{o.secretStdin, o.secretEnv != "" || o.secretFile != "", "--client-secret-stdin", "another --client-secret flag"},
		{o.secretStdin, o.callbackURL == "-", "--client-secret-stdin", "--callback-url -"},
		{o.settings.Strict, o.settings.AssumePKCES256, "--strict", "--assume-pkce-s256"},
		{o.settings.Strict, o.settings.NoResource || o.settings.Resource != "", "--strict", "--no-resource or --resource"},
	} {
		if pair.a && pair.b {
			return usage(pair.an + " and " + pair.bn + " contradict each other")
		}
	}
	for _, f := range []struct{ flag, value string }{
		{"--issuer", o.settings.Issuer}, {"--client-metadata-url", o.settings.ClientMetadataURL}, {"--idp-token-endpoint", o.settings.IDP.TokenEndpoint}, {"--idp-issuer", o.settings.IDP.Issuer},
	} {
		if f.value == "" {
			continue
		}
		if _, err := httpx.CheckServer(f.value); err != nil {
			return usage(f.flag + ": " + err.Error())
		}
	}
	if u, err := url.Parse(o.settings.Resource); err != nil || o.settings.Resource != "" && (!u.IsAbs() || u.Fragment != "") {
		return usage("--resource must be an absolute URI without a fragment (RFC 8707 §2), not " + quote(o.settings.Resource))
	}
	if err := portInRange(o.settings.CallbackPort); err != nil {
		return err
	}
	for _, pair := range o.authParams.Value() {
		if name, _, ok := strings.Cut(pair, "="); !ok || name == "" {
			return usage("--auth-param " + quote(pair) + " is not name=value")
		}
	}
	if err := oneOf("--callback-host", o.settings.CallbackHost, "127.0.0.1", "localhost"); err != nil {
		return err
	}
	if err := oneOf("--dpop", o.settings.DPoP, flow.DPoPAuto, flow.DPoPAlways, flow.DPoPNever); err != nil {
		return err
	}
	return oneOf("--grant", o.settings.Grant, flow.Grants()...)
}

// portInRange checks the value of --callback-port. The value is 0 if the flag is not given.
func portInRange(port int) error {
	if port < 0 || port > 65535 {
		return usage(fmt.Sprintf("--callback-port is 1 to 65535, not %d", port))
	}
	return nil
}

// applyTo sets the settings of t. A flag has precedence over the same setting of the configuration.
func (o loginOptions) applyTo(t *flow.Target) {
	given, configured := o.settings, t.Settings
	if scopes := scopesOf(&o.scopes); len(scopes) > 0 {
		given.Scopes = scopes
	}
	for _, pair := range o.authParams.Value() {
		name, value, _ := strings.Cut(pair, "=")
		given.AuthParams = append(given.AuthParams, [2]string{name, value})
	}
	t.Settings = configured.With(given)
	if given.ClientID != "" && given.ClientID != configured.ClientID { // the configured secret does not belong to the client of the flags
		t.ClientSecret, t.SecretParts = given.ClientSecret, nil
	}
	if given.Assertion != "" {
		t.AssertionFile = ""
	}
	if given.Issuer != "" {
		t.IssuerOfProject = false
	}
}

// scopesOf returns the scopes of --scope. The flag may be repeated, and each value may contain several scopes.
func scopesOf(values *cli.StringSlice) []string {
	return strings.Fields(strings.Join(values.Value(), " "))
}

// maxOwnScopes is the largest number of bytes of the scopes that the user names, with one blank between two scopes.
const maxOwnScopes = 16 << 10

// checkScopes returns an error if the scopes of a flag or of a configuration entry are too long.
func checkScopes(where string, scopes []string) error {
	if len(strings.Join(scopes, " ")) > maxOwnScopes {
		return &usageError{message: where + " names more than 16 kB of scopes", hint: "name only the scopes that you need"}
	}
	return nil
}

// checkScopeFlag is the Action of the flag --scope.
func checkScopeFlag(_ *cli.Context, values []string) error {
	return checkScopes("--scope", strings.Fields(strings.Join(values, " ")))
}

// clientSecret reads the client secret from the source that the flags name.
func (p *program) clientSecret(o loginOptions) (string, error) {
	var secret, from string
	switch {
	case o.secretEnv != "":
		return p.readVariable("--client-secret-env", o.secretEnv)
	case o.secretFile != "":
		data, err := httpx.ReadNamed(o.secretFile, maxSecret)
		if err != nil {
			return "", &configError{message: "--client-secret-file: " + err.Error()}
		}
		secret, from = string(data), "--client-secret-file "+o.secretFile
	case o.secretStdin:
		data, err := p.readStdin()
		if err != nil {
			return "", err
		}
		secret, from = string(data), "--client-secret-stdin"
	default:
		return "", nil
	}
	if secret = strings.TrimRight(secret, "\r\n"); secret == "" {
		return "", &configError{message: from + ": the secret is empty"}
	}
	return secret, nil
}

// readStdin reads a secret or an address from standard input.
func (p *program) readStdin() ([]byte, error) {
	data, err := httpx.ReadLimited(p.stdin, maxSecret)
	if err != nil {
		return nil, &configError{message: "standard input: " + err.Error()}
	}
	return bytes.TrimSpace(data), nil
}

// loginOrFinish performs a whole login, or finishes the login that --print-url began.
func (p *program) loginOrFinish(ctx context.Context, c *flow.Client, t flow.Target, o loginOptions) (flow.Status, error) {
	answer := o.callbackURL
	if answer == "" {
		return c.Login(ctx, t, o.flow)
	}
	if answer == "-" {
		data, err := p.readStdin()
		if err != nil {
			return flow.Status{}, err
		}
		answer = string(data)
	}
	return c.Finish(ctx, t, answer)
}

// printAddress prints the authorization URL on stdout.
func (p *program) printAddress(address string) error {
	if p.out.json {
		return p.out.writeUnmasked(map[string]string{"authorization_url": address}, "  ")
	}
	return p.out.writeText(address)
}
