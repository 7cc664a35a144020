package token

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"
)

// maxRequestURI bounds a request_uri, in bytes: it goes into the address that the browser opens.
const maxRequestURI = 2 << 10

// Pushed stands for an authorization request that the server has got (RFC 9126 §2.2). It is good for one use.
type Pushed struct {
	RequestURI string
	Expires    time.Time // zero: the server named no lifetime
}

// Push sends an authorization request to the server ahead of the browser (RFC 9126 §2.1), with the client authentication of the token
// endpoint and, if there is a DPoP key, its proof (RFC 9449 §10.1). The browser is then sent to the authorization endpoint with nothing
// but client_id and request_uri, see Pushed.Query. Refusals are *Error.
func (e Endpoint) Push(ctx context.Context, parURL string, authorization url.Values) (Pushed, error) {
	if authorization.Has("request_uri") {
		return Pushed{}, errors.New("pushed authorization request: request_uri is not allowed in it (RFC 9126 §2.1)")
	}
	a, err := request{e: e, stage: atPAR, url: parURL, form: maps.Clone(authorization), prove: true}.send(ctx)
	if err != nil {
		return Pushed{}, err
	}
	return e.parsePushed(a)
}

// Query is what the browser takes to the authorization endpoint (RFC 9126 §4).
func (p Pushed) Query(clientID string) url.Values {
	return url.Values{"client_id": {clientID}, "request_uri": {p.RequestURI}}
}

// parsePushed reads the answer (RFC 9126 §2.2).
func (e Endpoint) parsePushed(a *answer) (Pushed, error) {
	m, err := e.members(a)
	if err != nil {
		return Pushed{}, err
	}
	p := Pushed{RequestURI: m.text("request_uri")}
	if p.RequestURI == "" || len(p.RequestURI) > maxRequestURI || !plain(p.RequestURI, '!') {
		return Pushed{}, a.malformed(fmt.Sprintf("request_uri is %s, expected a URI (RFC 9126 §2.2)", a.quoted(p.RequestURI)))
	}
	lifetime, err := e.lifetime(a, m, "expires_in")
	if lifetime > 0 {
		p.Expires = a.sent.Add(lifetime).UTC().Round(0)
	}
	return p, err
}
