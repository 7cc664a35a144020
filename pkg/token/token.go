// Package token sends requests to the token endpoint and related endpoints of an authorization server. The package supports the grants of
// mcpauth, client authentication, DPoP, pushed authorization requests and revocation.
//
//	e := token.Endpoint{
//		URL:      "https://auth.example/token",
//		Client:   token.ClientAuth{ID: "s6BhdRkqt3", Method: "none"},
//		Resource: "https://mcp.example/mcp",
//	}
//	tok, err := e.Code(ctx, code, verifier, redirectURI)
//	tok, err = e.Refresh(ctx, tok.RefreshToken)
//
// # Errors
//
// An error response is an *Error with the fields of RFC 6749 §5.2, whatever its HTTP status is. The error for an invalid 2xx response wraps
// ErrMalformed. Any other error comes from the network or the caller. Ambiguous reports whether the server may have used up the grant
// although the request failed. Errors contain no secret that was sent. Text of the server is shortened.
//
// # Why not golang.org/x/oauth2
//
// golang.org/x/oauth2 does not support the resource parameter, DPoP or private_key_jwt, and may try two client authentication methods. The
// parser of x/oauth2 accepts duplicate members and any bytes in a token, and refuses a fractional expires_in. oauth2.RetrieveError prints
// the response body, and the device grant of x/oauth2 ends at the first network error.
//
// # Not supported
//
// Package token does not support the implicit and password grants, client_secret_jwt, form-encoded responses, or actor tokens.
package token

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"mcpauth/internal/httpx"
)

// Secret is a string that package fmt does not print.
type Secret = httpx.Secret

// Token is the result of a grant (RFC 6749 §5.1). The JSON form of a Token contains the secrets.
type Token struct {
	AccessToken  Secret        `json:"access_token"`
	TokenType    string        `json:"token_type"`              // "Bearer" or "DPoP"; "N_A" from Exchange only (RFC 8693 §2.2.1)
	RefreshToken Secret        `json:"refresh_token,omitempty"` // empty: the response has none; Merge keeps the old one
	IDToken      Secret        `json:"id_token,omitempty"`      // not verified
	Scope        string        `json:"scope,omitempty"`         // granted scopes, separated by single spaces
	Expiry       time.Time     `json:"expiry,omitzero"`         // time of the request plus Lifetime; zero: unknown
	Lifetime     time.Duration `json:"lifetime,omitempty"`      // expires_in, at most ten years; zero: unknown
	ScopeGiven   bool          `json:"scope_given,omitempty"`   // the response contained scope; false: the requested scope was granted (RFC 6749 §5.1)
}

// Endpoint is a token endpoint and the client that uses the endpoint. An Endpoint is safe for concurrent use.
type Endpoint struct {
	URL    string       // URL of the token endpoint
	HTTP   *http.Client // nil: a client that limits connection time and header size; redirects are never followed
	Client ClientAuth
	Now    func() time.Time // nil: time.Now

	Resource string  // resource parameter (RFC 8707), exactly as in the resource metadata; empty: not sent
	DPoP     *Prover // makes DPoP proofs (RFC 9449), and a token that is not bound to its key is refused; nil: no proofs, and the tokens are bearer tokens

	Local  bool // the MCP server is on loopback, so the endpoints may be on loopback and use http
	Strict bool // every deviation from a specification is ErrMalformed

	Deviation func(code string) // called with the code of each tolerated deviation; may be nil

	// BeforeSend is called immediately before each request, with its form. If BeforeSend returns an error, the request is not sent. If the
	// request certainly was not sent, for example because the connection was refused, unsent is called. May be nil.
	BeforeSend func(ctx context.Context, form url.Values) (unsent func(), err error)

	Sleep func(ctx context.Context, d time.Duration) error // waits between two polls of Device; nil: the function Sleep
}

func (e Endpoint) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// ErrMalformed is wrapped by the error for an invalid 2xx response. Examples are HTML, truncated or ambiguous JSON, a missing access token,
// and a token with characters that are not allowed in a header.
var ErrMalformed = errors.New("not an answer of this endpoint")

// ErrSecretRepeated is returned if a server repeats a secret where other users of the machine could see it, for example in a request_uri.
var ErrSecretRepeated = errors.New("the server repeats a secret, which others could see")

// ErrDowngrade is wrapped by the error for a token that is not bound to the key of Endpoint.DPoP.
var ErrDowngrade = errors.New("the token is not bound to the DPoP key")

// reportDeviation reports a deviation to Endpoint.Deviation. With Strict, reportDeviation returns an error.
func (e Endpoint) reportDeviation(a *formResponse, code, reason string) error {
	if e.Strict {
		return a.malformedError(reason)
	}
	if e.Deviation != nil {
		e.Deviation(code)
	}
	return nil
}
