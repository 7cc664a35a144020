package token

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mcpauth/internal/httpx"
)

// Values of Error.Stage.
const (
	atToken  = "token endpoint"
	atDevice = "device authorization endpoint"
	atPAR    = "pushed authorization request endpoint"
	atRevoke = "revocation endpoint"
)

// formRequest is a POST request that sends a form to an endpoint (RFC 6749 §3.2).
type formRequest struct {
	e          Endpoint
	stage, url string
	form       url.Values
	prove      bool // add a DPoP proof if there is a key
}

// formResponse is the response to a formRequest, with data of the request.
type formResponse struct {
	httpx.Response
	stage, url string
	sent       time.Time // time at which the request was sent
	exchange   bool      // the grant was a token exchange
	requested  string    // the token type that the exchange requested
}

func (e Endpoint) grant(ctx context.Context, grantType string, params map[string]string) (Token, error) {
	form := e.newForm(params)
	form.Set("grant_type", grantType)
	a, err := formRequest{e: e, stage: atToken, url: e.URL, form: form, prove: true}.sendForm(ctx)
	if err != nil {
		return Token{}, err
	}
	return e.parseToken(a)
}

// newForm returns the form to send. It omits empty parameters (RFC 6749 §3.2), and adds the resource parameter (RFC 8707 §2).
func (e Endpoint) newForm(params map[string]string) url.Values {
	form := url.Values{}
	for name, value := range params {
		if name == "scope" {
			value = strings.Join(strings.Fields(value), " ")
		}
		if value != "" {
			form.Set(name, value)
		}
	}
	if e.Resource != "" {
		form.Set("resource", e.Resource)
	}
	return form
}

// sendForm sends the form. If the server requires a nonce in the DPoP proof, sendForm sends the form once more. A server that requires a
// nonce has not processed the first request (RFC 9449 §8).
func (r formRequest) sendForm(ctx context.Context) (*formResponse, error) {
	if _, err := httpx.Check(r.url, r.e.Local); err != nil {
		return nil, r.unsentError(err)
	}
	a, nonce, err := r.sendOnce(ctx)
	if err == nil && r.proves() && a.wantsNonce() && nonce != r.e.DPoP.nonce(r.url) {
		a, _, err = r.sendOnce(ctx)
	}
	return a, err
}

func (r formRequest) proves() bool { return r.prove && r.e.DPoP != nil }

func (r formRequest) unsentError(err error) error {
	return &requestError{stage: r.stage, url: r.url, reason: err.Error(), err: err}
}

// wantsNonce reports whether the server refused a request because the DPoP proof has no valid nonce (RFC 9449 §8).
func (a *formResponse) wantsNonce() bool {
	m, err := decodeObject(a.Body)
	return err == nil && (a.StatusCode == http.StatusBadRequest || a.StatusCode == http.StatusUnauthorized) && m.stringMember("error") == "use_dpop_nonce"
}

// sendOnce sends the form with a new client assertion and a new DPoP proof, because a server may accept each of them only once. The result
// nonce is the nonce in this proof.
func (r formRequest) sendOnce(ctx context.Context) (a *formResponse, nonce string, err error) {
	form, header, sent := maps.Clone(r.form), http.Header{}, r.e.now()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("Accept", "application/json")
	if err := r.e.Client.addClientAuth(form, header, r.e.URL, sent); err != nil {
		return nil, "", r.unsentError(err)
	}
	if r.stage == atPAR {
		form.Set("client_id", r.e.Client.ID) // RFC 9126 §2.1 requires client_id with every authentication method
	}
	if r.proves() {
		var proof string
		if proof, nonce, err = r.e.DPoP.newProof(http.MethodPost, r.url, "", sent); err != nil {
			return nil, "", r.unsentError(err)
		}
		header.Set("DPoP", proof)
	}
	a = &formResponse{stage: r.stage, url: r.url, sent: sent, exchange: form.Get("grant_type") == grantExchange,
		requested: form.Get("requested_token_type")}
	var written requestWatch
	req, err := http.NewRequestWithContext(written.trace(ctx), http.MethodPost, r.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", r.unsentError(err)
	}
	req.Header = header
	unsent := func() {}
	if r.e.BeforeSend != nil {
		if unsent, err = r.e.BeforeSend(ctx, form); err != nil {
			return nil, "", err
		}
	}
	if err := ctx.Err(); err != nil {
		unsent()
		return nil, "", a.noResponseError(nil, err, false)
	}
	do := httpx.Do
	if r.stage == atToken || r.stage == atDevice {
		do = httpx.DoIssuing
	}
	res, err := do(httpx.NoRedirects(r.e.HTTP), req)
	if err != nil {
		if written.isUnconnected() {
			unsent()
		}
		return nil, nonce, a.noResponseError(res, err, written.maybeSent())
	}
	a.Response = *res
	if r.e.DPoP != nil {
		r.e.DPoP.Remember(r.url, res.Header)
	}
	return a, nonce, nil
}

// requestWatch records whether the transport looked for a connection, got one, and wrote the request.
type requestWatch struct{ asked, connected, written atomic.Bool }

func (w *requestWatch) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { w.asked.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { w.connected.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { w.written.Store(true) },
	})
}

// maybeSent reports whether the server may have received the request. Without httptrace in the transport, the result is always true.
func (w *requestWatch) maybeSent() bool { return w.written.Load() || !w.asked.Load() }

// isUnconnected reports whether the transport got no connection, so that no server received even a part of the request. A server that received
// only a part of a request cannot use the code in it, but it may know the client secret. Without httptrace, the result is always false.
func (w *requestWatch) isUnconnected() bool { return w.asked.Load() && !w.connected.Load() }
