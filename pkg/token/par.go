package token

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// maxRequestURI limits the length of a request_uri in bytes, because a request_uri becomes part of the authorization URL.
const maxRequestURI = 2 << 10

// Pushed is the response to a pushed authorization request (RFC 9126 §2.2). RequestURI can be used once.
type Pushed struct {
	RequestURI string
	Expires    time.Time // zero: the server sent no lifetime
}

// Push sends an authorization request directly to the authorization server (RFC 9126 §2.1), with a DPoP proof if Endpoint.DPoP is set (RFC
// 9449 §10.1). After Push, the authorization URL needs only client_id and request_uri (RFC 9126 §4).
func (e Endpoint) Push(ctx context.Context, parURL string, authorization url.Values) (Pushed, error) {
	if authorization.Has("request_uri") {
		return Pushed{}, errors.New("pushed authorization request: request_uri is not allowed in it (RFC 9126 §2.1)")
	}
	a, err := formRequest{e: e, stage: atPAR, url: parURL, form: maps.Clone(authorization), prove: true}.sendForm(ctx)
	if err != nil {
		return Pushed{}, err
	}
	return e.parsePushed(a)
}

func (e Endpoint) parsePushed(a *formResponse) (Pushed, error) {
	m, err := e.readObject(a)
	if err != nil {
		return Pushed{}, err
	}
	p := Pushed{RequestURI: m.stringMember("request_uri")}
	scheme, _, _ := strings.Cut(strings.ToLower(p.RequestURI), ":")
	if scheme == "http" || scheme == "https" { // the authorization server would read the request there, instead of the pushed one (RFC 9101 §5.2)
		return Pushed{}, a.malformedError("request_uri is a web address, expected a reference to the pushed request (RFC 9126 §2.2)")
	}
	if p.RequestURI == "" || len(p.RequestURI) > maxRequestURI || !isPrintable(p.RequestURI, '!') {
		return Pushed{}, a.malformedError(fmt.Sprintf("request_uri is %s, expected a URI (RFC 9126 §2.2)", quoted(p.RequestURI)))
	}
	if httpx.IsRedacted(p.RequestURI) { // the request_uri becomes part of the authorization URL
		return Pushed{}, &requestError{stage: a.stage, url: a.url, reason: "request_uri contains a secret of the request", err: ErrSecretRepeated}
	}
	lifetime, err := e.readSeconds(a, m, "expires_in")
	if lifetime > 0 {
		p.Expires = a.sent.Add(lifetime).UTC().Round(0)
	}
	return p, err
}
