package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/pkce"
	"mcpauth/pkg/token"
)

// browserTimeout is the default time limit of the wait for the browser.
const browserTimeout = 5 * time.Minute

// obtainByCode obtains tokens with an authorization code (OAuth 2.1 §4.1). It starts the callback listener first, because the client
// registration contains the redirect URI.
func (c *Client) obtainByCode(k *job, d loginDraft) (credential, error) {
	l, err := c.startListener(k.Context, d)
	if err != nil {
		return credential{}, stage("callback", err)
	}
	defer l.Close()
	x, err := c.awaitApproval(k.Context, d, l)
	if err != nil {
		return credential{}, err
	}
	return c.requestTokens(k, x)
}

// awaitApproval opens the browser, waits for the authorization code, and returns the token request that redeems this code.
func (c *Client) awaitApproval(ctx context.Context, d loginDraft, l *callback.Listener) (tokenRequest, error) {
	r, err := c.prepareAuthorization(ctx, d, l.RedirectURI(), false)
	if err != nil {
		return tokenRequest{}, err
	}
	code, err := c.askInBrowser(ctx, d, l, r.address, callback.Expect{State: r.state, Issuer: r.cred.Issuer,
		IssRequired: d.found.Server.AuthorizationResponseIssParameterSupported, Clean: c.LoginSecrets(d.t).Clean})
	if err != nil {
		return tokenRequest{}, stage("authorization", wrapUnknownClient(err, r.reused))
	}
	r.stage, r.request = "token exchange", func(ctx context.Context, e token.Endpoint) (token.Token, error) {
		return e.Code(ctx, code, string(r.verifier), l.RedirectURI())
	}
	return r.tokenRequest, nil
}

// authorizationRequest is an authorization request that is ready to be opened in a browser.
type authorizationRequest struct {
	tokenRequest
	address, state string
	verifier       pkce.Verifier
}

// prepareAuthorization prepares an authorization request. If openedLater is true, the user may open the authorization URL much later.
func (c *Client) prepareAuthorization(ctx context.Context, d loginDraft, redirectURI string, openedLater bool) (r authorizationRequest, err error) {
	if r.tokenRequest, err = c.newTokenRequest(ctx, d, redirectURI); err != nil {
		return r, err
	}
	r.verifier, r.state = pkce.New(), pkce.State()
	params := authorizationParams(d, r.cred, redirectURI, r.verifier, r.state)
	endpoint, err := endpointURL(d, params) // before the push, after which params no longer contains the names
	if err != nil {
		return r, err
	}
	if params, err = c.pushRequest(ctx, d, &r.cred, params, openedLater); err != nil {
		return r, stage("authorization", wrapUnknownClient(err, r.reused))
	}
	r.address, err = authorizationURL(d, endpoint, params)
	return r, err
}

// obtainByDevice shows a code that the user enters on any device, and waits for the user's approval (RFC 8628 §3).
func (c *Client) obtainByDevice(k *job, d loginDraft) (credential, error) {
	x, err := c.newTokenRequest(k.Context, d, "")
	if err != nil {
		return credential{}, err
	}
	show := func(code token.DeviceCode) {
		c.report(Event{Kind: EventDevice, URL: cmp.Or(code.VerificationURIComplete, code.VerificationURI), Issuer: d.plan.Issuer,
			Code: code.UserCode, Typed: code.VerificationURI, Expires: code.Expires})
	}
	x.stage, x.limit = "device authorization", loginLimit
	x.request = func(polls context.Context, e token.Endpoint) (token.Token, error) {
		return e.Device(k.Context, polls, d.found.Server.DeviceAuthorizationEndpoint, joinScopes(d.plan.Scopes), show)
	}
	return c.requestTokens(k, x)
}

func (c *Client) obtainNonInteractively(k *job, d loginDraft) (credential, error) {
	x, err := c.newTokenRequest(k.Context, d, "")
	if err != nil {
		return credential{}, err
	}
	if d.t.IDP.Issuer != "" {
		if x.cred.IDP, err = c.signInAtProvider(k, d); err != nil {
			return credential{}, err
		}
	}
	x.stage, x.request = "token request", func(ctx context.Context, e token.Endpoint) (token.Token, error) {
		return c.nonInteractiveToken(ctx, e, x.cred, d.o)
	}
	return c.requestTokens(k, x)
}

// startListener starts the callback listener on the port of the registered redirect URI, or on a free port if the registered port is in
// use.
func (c *Client) startListener(ctx context.Context, d loginDraft) (*callback.Listener, error) {
	host, port := d.t.CallbackHost, d.t.CallbackPort
	o := callback.Options{Host: host, Port: port, Ignored: func(why string) {
		c.warn("ignored a request to the callback, still waiting: " + why)
	}}
	if port != 0 {
		return callback.Listen(ctx, o)
	}
	o.Port = registeredPort(d)
	l, err := callback.Listen(ctx, o)
	if o.Port != 0 && errors.Is(err, callback.ErrPortInUse) {
		c.warn(fmt.Sprintf("callback port %d of the last login is in use; using another", o.Port))
		o.Port = 0
		return callback.Listen(ctx, o)
	}
	return l, err
}

// registeredPort returns the port in the redirect URI of the stored client. If the login uses another callback host or another
// authorization server, the result is 0.
func registeredPort(d loginDraft) int {
	host, client := cmp.Or(d.t.CallbackHost, callbackHosts[0]), d.storedClient()
	u, err := url.Parse(client.RedirectURI)
	if err != nil || u.Hostname() != host || client.Issuer != d.found.Server.Issuer {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	return port
}

// authorizationParams returns the parameters of the authorization request (OAuth 2.1 §4.1.1, RFC 7636 §4.3, RFC 8707 §2).
func authorizationParams(d loginDraft, cred credential, redirectURI string, verifier pkce.Verifier, state string) url.Values {
	params := url.Values{"response_type": {"code"}, "client_id": {cred.Client.ID}, "redirect_uri": {redirectURI}, "state": {state},
		"code_challenge": {verifier.Challenge()}, "code_challenge_method": {"S256"}}
	set := func(name, value string) {
		if params.Set(name, value); value == "" {
			params.Del(name)
		}
	}
	set("scope", joinScopes(cred.Scopes))
	set("resource", cred.Resource)
	if slices.Contains(cred.Scopes, offlineAccess) {
		// OpenID Connect Core §11: without prompt=consent, the provider ignores offline_access.
		set("prompt", "consent")
	}
	extra, _ := extraParams(d.found.Server.Issuer, d.t.Settings)
	for _, p := range extra {
		set(p[0], p[1]) // an empty value from the user removes the parameter
	}
	if d.nonce != "" {
		set("nonce", d.nonce)
	}
	return params
}

// endpointURL returns the URL of the authorization endpoint, without the parameters that the request also sets with the same name and value, and
// without prompt if the request sets it. If the URL contains another form of a parameter of the request, or one that the user removed, endpointURL
// returns an error, because the server might use the wrong value.
func endpointURL(d loginDraft, params url.Values) (*url.URL, error) {
	u, err := url.Parse(d.found.Server.AuthorizationEndpoint)
	if err != nil {
		return nil, stage("authorization request", err)
	}
	query := slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(pair string) bool {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		return params.Has(name) && (err == nil && plain == params.Get(name) || name == "prompt" && !strings.Contains(value, ";"))
	})
	var own []string
	for _, p := range d.t.AuthParams {
		own = append(own, p[0])
	}
	u.RawQuery = strings.Join(query, "&")
	name := discovery.FindReserved(u.RawQuery, slices.AppendSeq(slices.Clone(own), maps.Keys(params))...)
	if name == "" {
		return u, nil
	}
	e := &discovery.Error{Stage: "authorization request", URL: u.String(), Section: "RFC 6749 §3.1", Err: discovery.ErrIssuer,
		Reason: fmt.Sprintf("authorization_endpoint carries the parameter %s, which the server may read as one that the request sets or leaves out", httpx.Quote(name, 60))}
	if slices.Contains(own, name) {
		e.Err = ErrAuthParam
		e.Reason = fmt.Sprintf("authorization_endpoint carries the parameter %q, but the login sets it to another value or removes it", name)
	}
	return nil, e
}

// authorizationURL adds the parameters to the URL of the authorization endpoint.
func authorizationURL(d loginDraft, u *url.URL, params url.Values) (string, error) {
	query := u.Query()
	maps.Copy(query, params)
	u.RawQuery = query.Encode()
	_, err := httpx.Check(u.String(), isLocal(d.t.URL)) // the URL can be too long, because the server chooses the client ID, the scopes and the resource
	if err != nil && len(d.t.Scopes) > 0 {
		query.Del("scope")
		short := *u
		short.RawQuery = query.Encode()
		if _, other := httpx.Check(short.String(), isLocal(d.t.URL)); other == nil {
			err = fmt.Errorf("%w: %v", ErrLongScopes, err)
		}
	}
	return u.String(), stage("authorization request", err)
}

// isReservedParam reports whether the user must not set a parameter, because the security of the login depends on it.
func isReservedParam(param string) bool {
	return slices.Contains([]string{"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "resource", "scope"}, param)
}

// askInBrowser opens the browser, waits for the authorization response, and returns the code in this response.
func (c *Client) askInBrowser(ctx context.Context, d loginDraft, l *callback.Listener, address string, expect callback.Expect) (string, error) {
	timeout := cmp.Or(d.o.Timeout, browserTimeout)
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c.report(Event{Kind: EventAuthorize, URL: address, Port: l.Port()})
	if c.Open != nil {
		if err := c.Open(wait, address); err != nil {
			c.warn(fmt.Sprintf("the browser did not open (%v); open the URL yourself", err))
		}
	}
	code, err := c.awaitAnswer(wait, d, l, expect)
	if errors.Is(err, context.DeadlineExceeded) { // also true if the caller's own deadline ended the wait
		return "", fmt.Errorf("%w within %s: if the server refuses the client or the redirect URI, it shows an error page that mcpauth cannot see", ErrNoAnswer, timeout)
	}
	return code, err
}

// Paste returns text that the user pastes: the URL on which the browser ended, or the query of this URL. If the text is not a response to
// this login, Login calls Paste again with the reason. After io.EOF, Login waits only for the browser. Any other error of Paste ends the
// login. Paste may still be blocked in a read when Login returns.
type Paste func(ctx context.Context, refused error) (string, error)

// pendingAnswerError is returned if the user pastes the response to a pending login.
type pendingAnswerError struct{ text string }

func (*pendingAnswerError) Error() string { return "the address belongs to an earlier login" }

// awaitAnswer waits until the listener receives the response or the user pastes it.
func (c *Client) awaitAnswer(ctx context.Context, d loginDraft, l *callback.Listener, expect callback.Expect) (string, error) {
	if d.o.Paste == nil {
		return l.Wait(ctx, expect)
	}
	type answer struct {
		code string
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 2)
	go func() {
		code, err := l.Wait(ctx, expect)
		answers <- answer{code, err}
	}()
	go func() {
		code, err := c.readPasted(ctx, d, expect)
		if !errors.Is(err, io.EOF) {
			answers <- answer{code, err}
		}
	}()
	first := <-answers
	return first.code, first.err
}

// readPasted calls Paste until the text is a response to this login.
func (c *Client) readPasted(ctx context.Context, d loginDraft, expect callback.Expect) (string, error) {
	var refused error
	for {
		text, err := d.o.Paste(ctx, refused)
		if err != nil {
			return "", err
		}
		code, err := callback.Parse(text, expect)
		switch {
		case errors.Is(err, callback.ErrState) && c.isPending(ctx, d.t, text):
			return "", &pendingAnswerError{text}
		case errors.Is(err, callback.ErrBareCode), errors.Is(err, callback.ErrState), errors.Is(err, callback.ErrMalformed):
			refused = err
		default:
			return code, err
		}
	}
}

// wrapUnknownClient wraps the error of a server that does not know the client (RFC 6749 §4.1.2.1, §5.2). The result wraps errForgotten if
// an earlier login registered the client, and ErrClientRejected otherwise. Any other error is returned unchanged.
func wrapUnknownClient(err error, reused bool) error {
	var refused *callback.AuthorizationError
	switch known := !isClientRefused(err) && !(errors.As(err, &refused) && (refused.Code == "unauthorized_client" || refused.Code == "invalid_client")); {
	case known:
		return err
	case reused:
		return fmt.Errorf("%w: %w", errForgotten, err)
	}
	return fmt.Errorf("%w: %w", ErrClientRejected, err)
}

// callbackHosts are the hosts of redirect URIs (RFC 8252 §7.3 and §8.3).
var callbackHosts = []string{"127.0.0.1", "localhost"}

// ClientDocument returns the client ID metadata document to publish at address. The address is also the client ID
// (Settings.ClientMetadataURL). If port is 0, the redirect URIs have no port, because servers must allow any port on loopback (RFC 8252
// §7.3). For a server that compares ports, set port to the callback port of the login. An empty name means "mcpauth".
func ClientDocument(address string, port int, name string) ([]byte, error) {
	var redirects []string
	for _, host := range callbackHosts {
		redirects = append(redirects, redirectURI(host, port))
	}
	return dcr.Document(address, redirects, name)
}

// redirectURI returns a redirect URI on loopback. If port is 0, the URI has no port.
func redirectURI(host string, port int) string {
	if port != 0 {
		host += ":" + strconv.Itoa(port)
	}
	return "http://" + host + "/callback"
}
