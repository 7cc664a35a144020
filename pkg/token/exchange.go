package token

import (
	"context"
	"fmt"
)

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// Token types of RFC 8693 §3, and of the ID-JAG draft (Identity Assertion JWT Authorization Grant).
const (
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDJAG        = "urn:ietf:params:oauth:token-type:id-jag"
)

// ExchangeOptions are the parameters of a token exchange (RFC 8693 §2.1).
type ExchangeOptions struct {
	SubjectToken       Secret
	SubjectTokenType   string
	RequestedTokenType string
	Audience           string // empty: not sent
	Scope              string // empty: not sent
}

// Exchange exchanges one token for another (RFC 8693). The issued token, whatever its type is, is in Token.AccessToken. If the issued token
// is not an access token, Token.TokenType may be "N_A". In enterprise-managed authorization, the identity provider receives an ID token or
// a refresh token, and issues an ID-JAG.
func (e Endpoint) Exchange(ctx context.Context, o ExchangeOptions) (Token, error) {
	return e.grant(ctx, grantExchange, map[string]string{
		"scope":                o.Scope,
		"subject_token":        string(o.SubjectToken),
		"subject_token_type":   o.SubjectTokenType,
		"requested_token_type": o.RequestedTokenType,
		"audience":             o.Audience,
	})
}

// checkIssued checks that the issued token has the requested type. issued_token_type is required (RFC 8693 §2.2.1), but some servers omit
// it.
func (e Endpoint) checkIssued(a *formResponse, m jsonObject) error {
	issued := m.stringMember("issued_token_type")
	switch {
	case !a.exchange || issued != "" && issued == a.requested:
		return nil
	case issued == "":
		return e.reportDeviation(a, "issued_token_type", "issued_token_type is missing (RFC 8693 §2.2.1)")
	}
	return a.malformedError(fmt.Sprintf("issued_token_type is %s, expected %q (RFC 8693 §2.2.1)", quoted(issued), a.requested))
}
