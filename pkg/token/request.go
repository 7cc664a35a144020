// This file is the one request that every grant goes through: a POST of a form (RFC 6749 §3.2) with resource (RFC 8707 §2.2), one client
// authentication (RFC 6749 §2.3) and a DPoP proof (RFC 9449 §5) added to what x/oauth2 composed. It is sent once; again only when the
// server asks for its DPoP nonce, which says that it did nothing yet (RFC 9449 §8). No redirect is followed.

package token

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mcpauth/internal/httpx"
)

// The endpoints, as errors name them.
const (
	atToken  = "token endpoint"
	atDevice = "device authorization endpoint"
	atRevoke = "revocation endpoint"
)

// request is one request to an endpoint. As a RoundTripper it is the transport of the HTTP client that x/oauth2 gets.
type request struct {
	e     Endpoint
	ctx   context.Context // x/oauth2's DeviceAuth sends its request without one
	stage string
	url   string
	extra url.Values // parameters beside those of x/oauth2; they replace its own
	prove bool       // with a DPoP proof, where there is a key

	answer *answer
	err    error
}

// answer is what came, and what it answers.
type answer struct {
	httpx.Response
	stage, url string
	sent       time.Time // when the request left
	hidden     []string  // the secrets that went with it, in the forms in which they might come back
	exchange   bool      // the grant was a token exchange,
	requested  string    // for this type of token
}

// grant sends the request that compose makes x/oauth2 compose, and reads the answer.
func (e Endpoint) grant(ctx context.Context, extra url.Values, compose func(context.Context, *oauth2.Config) error) (Token, error) {
	r := &request{e: e, ctx: ctx, stage: atToken, url: e.URL, extra: url.Values{}, prove: true}
	maps.Copy(r.extra, extra)
	if e.Resource != "" {
		r.extra.Set("resource", e.Resource)
	}
	a, err := r.compose(compose)
	if err != nil {
		return Token{}, err
	}
	return e.parse(a)
}

// otherGrant is grant for those that x/oauth2 has no function for. Empty parameters are not sent (RFC 6749 §3.2).
func (e Endpoint) otherGrant(ctx context.Context, grantType, scope string, params map[string]string) (Token, error) {
	form := url.Values{"grant_type": {grantType}}
	for name, value := range params {
		if value != "" {
			form.Set(name, value)
		}
	}
	return e.grant(ctx, nil, func(ctx context.Context, c *oauth2.Config) error {
		cc := clientcredentials.Config{TokenURL: c.Endpoint.TokenURL, AuthStyle: c.Endpoint.AuthStyle, Scopes: strings.Fields(scope), EndpointParams: form}
		_, err := cc.Token(ctx)
		return err
	})
}

// compose runs x/oauth2 with this request as its transport, and returns the answer as it came.
func (r *request) compose(run func(context.Context, *oauth2.Config) error) (*answer, error) {
	// Without an id and a secret, and with a style that is set, x/oauth2 adds no client authentication, and never tries a second one.
	style := oauth2.Endpoint{TokenURL: r.url, DeviceAuthURL: r.url, AuthStyle: oauth2.AuthStyleInParams}
	hc := &http.Client{Transport: r, CheckRedirect: noRedirect}
	err := run(context.WithValue(r.ctx, oauth2.HTTPClient, hc), &oauth2.Config{Endpoint: style})
	switch {
	case r.err != nil:
		return nil, r.err
	case r.answer == nil && err != nil:
		return nil, &failure{stage: r.stage, url: r.url, reason: httpx.Clean(err.Error(), nil, 300), err: err}
	case r.answer == nil:
		return nil, &failure{stage: r.stage, url: r.url, reason: "no request was composed"}
	}
	return r.answer, nil // what x/oauth2 made of it does not matter
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// RoundTrip takes the form that x/oauth2 composed, sends it in our way, and hands the answer back.
func (r *request) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.answer != nil || r.err != nil {
		return nil, errors.New("a grant is sent once")
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if r.answer, r.err = r.send(form); r.err != nil {
		return nil, r.err
	}
	return &http.Response{Status: http.StatusText(r.answer.StatusCode), StatusCode: r.answer.StatusCode, Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1, Header: r.answer.Header, Body: io.NopCloser(bytes.NewReader(r.answer.Body)), Request: req}, nil
}

// send posts the form, a second time only with the nonce that the server asked for.
func (r *request) send(form url.Values) (*answer, error) {
	if _, err := httpx.Check(r.url, r.e.Local); err != nil {
		return nil, &failure{stage: r.stage, url: r.url, reason: err.Error(), err: err}
	}
	maps.Copy(form, r.extra)
	a, nonce, err := r.once(form)
	if err != nil || nonce == r.nonce() || !a.wantsNonce() {
		return a, err
	}
	a, _, err = r.once(form)
	return a, err
}

// nonce returns the one remembered for the endpoint.
func (r *request) nonce() string {
	if !r.prove || r.e.DPoP == nil {
		return ""
	}
	return r.e.DPoP.nonce(r.url)
}

// wantsNonce reports whether the server refused only because the proof lacks its nonce (RFC 9449 §8).
func (a *answer) wantsNonce() bool {
	m, err := readMembers(a.Body)
	return err == nil && (a.StatusCode == 400 || a.StatusCode == 401) && m.text("error") == "use_dpop_nonce"
}

// once posts the form with a fresh client authentication and a fresh proof, both of which a server may accept only once. It returns the
// nonce that the proof held.
func (r *request) once(form url.Values) (a *answer, nonce string, err error) {
	form, header := maps.Clone(form), http.Header{}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("Accept", "application/json")
	sent := r.e.now()
	if err := r.e.Client.authenticate(form, header, r.e.URL, sent); err != nil {
		return nil, "", &failure{stage: r.stage, url: r.url, reason: err.Error(), err: err}
	}
	if r.prove && r.e.DPoP != nil {
		var proof string
		if proof, nonce, err = r.e.DPoP.proof(http.MethodPost, r.url, "", sent); err != nil {
			return nil, "", &failure{stage: r.stage, url: r.url, reason: err.Error(), err: err}
		}
		header.Set("DPoP", proof)
	}
	a = &answer{stage: r.stage, url: r.url, sent: sent, hidden: httpx.Forms(secretsOf(form, header)),
		exchange: form.Get("grant_type") == grantExchange, requested: form.Get("requested_token_type")}
	var written watch
	req, err := http.NewRequestWithContext(written.trace(r.ctx), http.MethodPost, r.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", &failure{stage: r.stage, url: r.url, reason: "not a URL"}
	}
	req.Header = header
	if err := r.ctx.Err(); err != nil {
		return nil, "", a.broken(nil, err, false)
	}
	res, err := httpx.Do(r.e.client(), req)
	if err != nil {
		return nil, nonce, a.broken(res, err, written.ambiguous())
	}
	a.Response = *res
	if r.e.DPoP != nil {
		r.e.DPoP.Remember(r.url, res.Header)
	}
	return a, nonce, nil
}

// client returns the HTTP client without its redirect policy and cookies: what carries a secret follows no redirect.
func (e Endpoint) client() *http.Client {
	hc := e.HTTP
	if hc == nil {
		hc = httpx.Default()
	}
	return &http.Client{Transport: hc.Transport, Timeout: hc.Timeout, CheckRedirect: noRedirect}
}

// public names the parameters whose values are no secrets. A name that is missing here is only masked too much.
var public = []string{"grant_type", "client_id", "client_assertion_type", "redirect_uri", "scope", "resource", "audience", "token_type_hint",
	"subject_token_type", "requested_token_type"}

// secretsOf returns what must not come back to light in an error.
func secretsOf(form url.Values, header http.Header) []string {
	var secrets []string
	for name, values := range form {
		if !slices.Contains(public, name) {
			secrets = append(secrets, values...)
		}
	}
	if _, basic, ok := strings.Cut(header.Get("Authorization"), " "); ok {
		secrets = append(secrets, basic)
		if id, secret, ok := basicParts(basic); ok {
			secrets = append(secrets, id+":"+secret, secret)
		}
	}
	return append(secrets, header.Get("DPoP"))
}

// watch sees how far a request got.
type watch struct{ asked, written atomic.Bool }

func (w *watch) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { w.asked.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { w.written.Store(true) },
	})
}

// ambiguous reports whether the server may have got the request: it was written, or a transport was used that does not tell.
func (w *watch) ambiguous() bool { return w.written.Load() || !w.asked.Load() }
