// This file obtains tokens: by authorization code through a browser (OAuth 2.1 §4.1), by device code (RFC 8628), by a machine grant.

package flow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/pkce"
	"mcpauth/pkg/token"
)

// answerWithin is how long a person has to answer in the browser.
const answerWithin = 5 * time.Minute

// obtainByCode: listen (the redirect address is part of the registration, so it comes first), register, ask, wait, exchange.
func (a *attempt) obtainByCode(ctx context.Context) error {
	l, err := a.listen(ctx)
	if err != nil {
		return stage("callback", err)
	}
	defer l.Close()
	if err := a.resolve(ctx, l.RedirectURI()); err != nil {
		return err
	}
	verifier, state := pkce.New(), pkce.State()
	address, err := a.authorizationURL(l.RedirectURI(), verifier, state)
	if err != nil {
		return err
	}
	code, err := a.ask(ctx, l, address, callback.Expect{State: state, Issuer: a.cred.Issuer,
		IssRequired: a.found.Server.AuthorizationResponseIssParameterSupported})
	if err != nil {
		return stage("authorization", clientRefused(err))
	}
	return a.exchange(code, verifier, l.RedirectURI())
}

// listen opens the callback on the port of the registration where that is free, else on any.
func (a *attempt) listen(ctx context.Context) (*callback.Listener, error) {
	host, port := a.t.CallbackHost, a.t.CallbackPort
	kept := port == 0
	if kept {
		port = a.registeredPort(host)
	}
	l, err := callback.Listen(ctx, callback.Options{Host: host, Port: port})
	if kept && port != 0 && errors.Is(err, callback.ErrPortInUse) {
		a.c.warn(fmt.Sprintf("callback port %d of the last login is in use; another is taken", port))
		return callback.Listen(ctx, callback.Options{Host: host})
	}
	return l, err
}

// registeredPort returns the port of the stored client's redirect address on that host, or 0.
func (a *attempt) registeredPort(host string) int {
	if host == "" {
		host = "127.0.0.1"
	}
	client := a.cred.Client
	if a.cred.NextClient != nil {
		client = *a.cred.NextClient
	}
	u, err := url.Parse(client.RedirectURI)
	if err != nil || u.Hostname() != host || client.Issuer != a.found.Server.Issuer {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	return port
}

// authorizationURL is the authorization request (OAuth 2.1 §4.1.1, RFC 7636 §4.3, RFC 8707 §2).
func (a *attempt) authorizationURL(redirectURI string, verifier pkce.Verifier, state string) (string, error) {
	s := a.found.Server
	conf := oauth2.Config{ClientID: a.cred.Client.ID, RedirectURL: redirectURI, Scopes: a.cred.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: s.AuthorizationEndpoint, TokenURL: s.TokenEndpoint}}
	params := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("code_challenge", verifier.Challenge()),
		oauth2.SetAuthURLParam("code_challenge_method", "S256"),
	}
	if a.cred.Resource != "" {
		params = append(params, oauth2.SetAuthURLParam("resource", a.cred.Resource))
	}
	if slices.Contains(a.cred.Scopes, offlineAccess) {
		// OpenID Connect Core §11: without consent the provider ignores offline_access.
		params = append(params, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	extra, _ := extraParams(s.Issuer, a.o)
	for _, p := range extra {
		if reserved(p[0]) {
			return "", fmt.Errorf("%w: the parameter %q of the authorization request is not yours to set", ErrOptions, p[0])
		}
		params = append(params, oauth2.SetAuthURLParam(p[0], p[1]))
	}
	address := conf.AuthCodeURL(state, params...)
	if _, err := httpx.Check(address, a.t.local()); err != nil { // a server's client id, scopes or resource may have made it too long
		return "", stage("authorization request", err)
	}
	return address, nil
}

// reserved names the parameters on which the security of the flow rests.
func reserved(param string) bool {
	return slices.Contains([]string{"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "resource", "scope"}, param)
}

// ask opens the browser and waits for its answer.
func (a *attempt) ask(ctx context.Context, l *callback.Listener, address string, expect callback.Expect) (string, error) {
	timeout := a.o.Timeout
	if timeout == 0 {
		timeout = answerWithin
	}
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a.c.report(Event{Kind: EventAuthorize, URL: address, Port: l.Port()})
	if a.c.Open != nil {
		if err := a.c.Open(wait, address); err != nil {
			a.c.warn(fmt.Sprintf("the browser did not open (%v); open the address yourself", err))
		}
	}
	code, err := a.answered(wait, l, expect)
	if errors.Is(err, context.DeadlineExceeded) { // also the caller's: it is about this wait
		return "", fmt.Errorf("%w within %s: a refused client or redirect address shows as an error page of the server, which mcpauth cannot see", ErrNoAnswer, timeout)
	}
	return code, err
}

// exchange redeems the code. It is sent once: strict servers revoke what a repeated code gave.
func (a *attempt) exchange(code string, verifier pkce.Verifier, redirectURI string) error {
	e, err := a.bound()
	if err != nil {
		return err
	}
	return a.redeem("token exchange", func(ctx context.Context) (token.Token, error) {
		return a.byEitherMethod(e, func(e token.Endpoint) (token.Token, error) { return e.Code(ctx, code, string(verifier), redirectURI) })
	})
}

// obtainByDevice shows a code to type at another device and waits (RFC 8628 §3).
func (a *attempt) obtainByDevice(ctx context.Context) error {
	if err := a.resolve(ctx, ""); err != nil {
		return err
	}
	e, err := a.bound()
	if err != nil {
		return err
	}
	show := func(d token.DeviceCode) {
		address := d.VerificationURI
		if d.VerificationURIComplete != "" {
			address = d.VerificationURIComplete
		}
		a.c.report(Event{Kind: EventDevice, URL: address, Code: d.UserCode, Typed: d.VerificationURI, Expires: d.Expires})
	}
	return a.redeem("device authorization", func(context.Context) (token.Token, error) {
		// A poll may bring the tokens, so none is cut off; between two polls the caller may stop the login.
		polls, cancel := outlive(ctx, redeemLimit, loginLimit)
		defer cancel()
		e.Sleep = func(_ context.Context, d time.Duration) error { return pause(ctx, d) }
		return a.byEitherMethod(e, func(e token.Endpoint) (token.Token, error) {
			return e.Device(polls, a.found.Server.DeviceAuthorizationEndpoint, joinScopes(a.cred.Scopes), show)
		})
	})
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// obtainByMachine needs nobody.
func (a *attempt) obtainByMachine(ctx context.Context) error {
	if needsClient(a.t) {
		if err := a.resolve(ctx, ""); err != nil {
			return err
		}
	}
	e, err := a.bound()
	if err != nil {
		return err
	}
	return a.redeem("token request", func(ctx context.Context) (token.Token, error) {
		return a.byEitherMethod(e, func(e token.Endpoint) (token.Token, error) { return a.c.machineToken(ctx, e, a.cred, a.cred.Scopes) })
	})
}

// bound returns the token endpoint, with a fresh DPoP key where the tokens are to be bound to one (RFC 9449 §5).
func (a *attempt) bound() (token.Endpoint, error) {
	a.cred.DPoPKey = nil
	use, err := useDPoP(a.t, a.found)
	if err != nil {
		return token.Endpoint{}, err
	}
	if use {
		prover, err := token.NewProver()
		if err != nil {
			return token.Endpoint{}, err
		}
		if a.cred.DPoPKey, err = prover.Marshal(); err != nil {
			return token.Endpoint{}, err
		}
	}
	return a.endpoint()
}

// endpoint is the token endpoint of this attempt: it notes what it puts up with.
func (a *attempt) endpoint() (token.Endpoint, error) {
	e, err := a.c.endpoint(a.cred)
	e.Stray = a.stray
	return e, err
}

// clientRefused marks the answers by which a server says that it does not know the client (RFC 6749 §4.1.2.1, §5.2).
func clientRefused(err error) error {
	var refused *callback.AuthorizationError
	if clientDead(err) || errors.As(err, &refused) && (refused.Code == "unauthorized_client" || refused.Code == "invalid_client") {
		return fmt.Errorf("%w: %w", ErrClientRejected, err)
	}
	return err
}
