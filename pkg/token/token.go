// Package token is a client for the token endpoint of an authorization server. It supports every grant that mcpauth uses, client
// authentication, DPoP, pushed authorization requests and revocation.
//
//	e := token.Endpoint{
//		URL:      "https://auth.example/token",
//		Client:   token.ClientAuth{ID: "s6BhdRkqt3", Method: "none"},
//		Resource: "https://mcp.example/mcp",
//	}
//	tok, err := e.Code(ctx, code, verifier, redirectURI)
//	tok, err = e.Refresh(ctx, tok.RefreshToken, "")
//
// # Errors
//
// A refusal by the server is an *Error with the fields of RFC 6749 §5.2, whatever its status was. A 2xx answer that is not a token answer
// wraps ErrMalformed. All other errors come from the network or the caller. Ambiguous reports whether the grant may be used up although the
// request failed. No error contains a secret that was sent or a whole body: text of the server is shortened, cleaned and masked.
//
// # Why not golang.org/x/oauth2
//
// golang.org/x/oauth2 does not support the resource parameter, DPoP or private_key_jwt, and may try two client authentication methods. Its
// parser accepts duplicate members and any bytes in a token, and refuses a fractional expires_in. Its RetrieveError prints the body of the
// response, and its device polling ends at the first network error. Package flow uses only the token types of golang.org/x/oauth2.
//
// # Not supported
//
// This package does not support the implicit and password grants, client_secret_jwt, form-encoded token answers, and actor tokens.
package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mcpauth/internal/httpx"
)

// Secret is a string that package fmt does not print.
type Secret = httpx.Secret

// Token is the result of a grant. Its JSON form contains the secrets, for the credential store.
type Token struct {
	AccessToken  Secret        `json:"access_token"`
	TokenType    string        `json:"token_type"`              // "Bearer" or "DPoP"; "N_A" from Exchange only (RFC 8693 §2.2.1)
	RefreshToken Secret        `json:"refresh_token,omitempty"` // empty: the answer has none, so keep the old one
	IDToken      Secret        `json:"id_token,omitempty"`      // not verified
	Scope        string        `json:"scope,omitempty"`         // granted, separated by single blanks
	Expiry       time.Time     `json:"expiry,omitzero"`         // counted from the time of the request; zero: unknown, so the token is used until a 401
	Lifetime     time.Duration `json:"lifetime,omitempty"`      // expires_in, at most ten years; zero: unknown
	ScopeGiven   bool          `json:"scope_given,omitempty"`   // the answer contained scope, possibly empty; false: the requested scope was granted (RFC 6749 §5.1)
}

// Endpoint is a token endpoint and its client. It can be copied and used by several goroutines.
type Endpoint struct {
	URL    string
	HTTP   *http.Client // nil: httpx.Default(). Redirects are never followed
	Client ClientAuth
	Now    func() time.Time // nil: time.Now

	Resource string  // resource parameter (RFC 8707), exactly as in the resource metadata; empty: not sent
	DPoP     *Prover // makes DPoP proofs (RFC 9449); nil: no proofs, and the tokens are bearer tokens

	RequireDPoP bool // refuse tokens that are not bound to the DPoP key (ErrDowngrade)
	Local       bool // the MCP server is on loopback, so the endpoints may be on loopback and use http
	Strict      bool // every deviation is ErrMalformed

	Deviation func(code string) // called with the code of each tolerated deviation; may be nil

	Sleep func(ctx context.Context, d time.Duration) error // waits between the polls of Device; nil: Sleep
}

func (e Endpoint) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// ErrMalformed is wrapped if a 2xx answer is not valid for its endpoint. Examples are HTML, truncated or ambiguous JSON, an answer without
// an access token, and a token with characters that are not allowed in a header.
var ErrMalformed = errors.New("not an answer of this endpoint")

// ErrDowngrade is wrapped if RequireDPoP is set and the token is not bound to the key.
var ErrDowngrade = errors.New("the token is not bound to the DPoP key")

// Deviations returns the codes of the deviations that an Endpoint tolerates.
func Deviations() []string {
	return []string{"token_status", "token_content_type", "token_nested", "token_type", "token_scope", "token_expires_in", "issued_token_type", "verification_url"}
}

// tolerate reports a deviation. With Strict it returns an error.
func (e Endpoint) tolerate(a *answer, code, reason string) error {
	if e.Strict {
		return a.malformed(reason)
	}
	if e.Deviation != nil {
		e.Deviation(code)
	}
	return nil
}
