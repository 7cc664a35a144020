package token

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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
// it. A server that ignores requested_token_type omits it too, and issues its own access token. A token without issued_token_type is
// therefore accepted as an ID-JAG only if the header of the token says so.
func (e Endpoint) checkIssued(a *formResponse, m jsonObject) error {
	if !a.exchange {
		return nil
	}
	issued := m.stringMember("issued_token_type")
	if issued != "" && issued != a.requested {
		return a.malformedError(fmt.Sprintf("issued_token_type is %s, expected %q (RFC 8693 §2.2.1)", quoted(issued), a.requested))
	}
	if a.requested == TypeIDJAG && !hasIDJAGType(m.stringMember("access_token"), issued != "") {
		reason := `the token is not an ID-JAG: expected the typ "oauth-id-jag+jwt" in its header (Identity Assertion JWT Authorization Grant §3)`
		if issued == "" {
			reason = "issued_token_type is missing, and " + reason
		}
		return a.malformedError(reason)
	}
	if issued == "" {
		return e.reportDeviation(a, "issued_token_type", "issued_token_type is missing (RFC 8693 §2.2.1)")
	}
	return nil
}

// hasIDJAGType reports whether the typ of a token is that of an ID-JAG, with or without application/ in front (Identity Assertion JWT
// Authorization Grant §3, RFC 7515 §4.1.9). If the response declares the token an ID-JAG, typ may also be missing or JWT, because these two
// name no kind of token. An error must not show the typ, because it is encoded and could contain a secret that is not masked.
func hasIDJAGType(text string, declared bool) bool {
	header, _, err := parseJWT(text)
	if err != nil || header["typ"] == nil {
		return declared // the caller of Exchange checks the rest of the ID-JAG
	}
	var typ string
	_ = json.Unmarshal(header["typ"], &typ)
	return strings.TrimPrefix(strings.ToLower(typ), "application/") == "oauth-id-jag+jwt" || declared && strings.EqualFold(typ, "JWT")
}
