// Package token is the client of an authorization server's token endpoint: every grant that mcpauth knows, the one client
// authentication that goes with it, proof of possession, and revocation.
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
// What the server refused is an *Error: RFC 6749 §5.2 with its status, whatever the status was. A 2xx answer that is no token answer wraps
// ErrMalformed. Everything else is a failure of the network or of the caller. Ambiguous says whether the grant may have been spent all
// the same. No error holds a secret that was sent, nor any body: a server's words are cut, stripped and masked.
//
// # Why not golang.org/x/oauth2
//
// Its requests know no resource, DPoP or private_key_jwt, and may try two kinds of client authentication. Its reader accepts duplicate
// members and any bytes in a token, refuses a fractional expires_in, and its RetrieveError prints the body. Its device polling ends at the
// first network error. Package flow uses it for authorization URLs and as the type of tokens.
//
// # Not supported
//
// The implicit and password grants, client_secret_jwt, form-encoded token answers, actor tokens.
package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mcpauth/internal/httpx"
)

// Secret is text that package fmt does not print.
type Secret = httpx.Secret

// Token is what a grant gave. Its JSON holds the secrets, for the credential store.
type Token struct {
	AccessToken  Secret        `json:"access_token"`
	TokenType    string        `json:"token_type"`              // "Bearer" or "DPoP"; "N_A" from Exchange only (RFC 8693 §2.2.1)
	RefreshToken Secret        `json:"refresh_token,omitempty"` // "" when the answer had none: keep the old one
	IDToken      Secret        `json:"id_token,omitempty"`      // not verified
	Scope        string        `json:"scope,omitempty"`         // granted, separated by single blanks
	Expiry       time.Time     `json:"expiry,omitzero"`         // counted from the moment the request was sent; zero: unknown, usable until a 401
	Lifetime     time.Duration `json:"lifetime,omitempty"`      // expires_in, at most ten years; zero: unknown
	ScopeGiven   bool          `json:"scope_given,omitempty"`   // the answer named a scope, perhaps an empty one; else it is what was asked (RFC 6749 §5.1)
}

// Endpoint is a token endpoint and the client that asks there. It may be copied, and used by several goroutines.
type Endpoint struct {
	URL    string
	HTTP   *http.Client // nil: httpx.Default(). Whatever its policy is, no redirect is followed
	Client ClientAuth
	Now    func() time.Time // nil: time.Now

	Resource string  // RFC 8707, byte for byte as the resource metadata has it; empty: not sent
	DPoP     *Prover // RFC 9449; nil: no proof is sent, the tokens are bearer tokens

	RequireDPoP bool // a token that is not bound to the DPoP key is refused (ErrDowngrade)
	Local       bool // the MCP server is on loopback: the endpoints may be there as well, over http
	Strict      bool // no tolerance: every deviation is ErrMalformed

	Deviation func(code string) // receives the code of each deviation that is tolerated, see Deviations; may be nil

	Sleep func(ctx context.Context, d time.Duration) error // how Device waits between polls; nil: Sleep
}

func (e Endpoint) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// ErrMalformed is wrapped when a 2xx answer was not what its endpoint answers: HTML, cut or ambiguous JSON, no access token, a token with
// characters that no header may hold.
var ErrMalformed = errors.New("not an answer of this endpoint")

// ErrDowngrade is wrapped when RequireDPoP is set and the token is not bound to the key.
var ErrDowngrade = errors.New("the token is not bound to the DPoP key")

// Deviations are the codes of the deviations that an Endpoint tolerates.
func Deviations() []string {
	return []string{"token_status", "token_content_type", "token_nested", "token_type", "token_scope", "token_expires_in", "issued_token_type", "verification_url"}
}

// tolerate reports a deviation. If the endpoint is strict, the deviation is an error.
func (e Endpoint) tolerate(a *answer, code, reason string) error {
	if e.Strict {
		return a.malformed(reason)
	}
	if e.Deviation != nil {
		e.Deviation(code)
	}
	return nil
}
