package token

import "context"

// ClientCredentials requests a token for the client itself (RFC 6749 §4.4 and the MCP client credentials extension). There is usually no
// refresh token.
func (e Endpoint) ClientCredentials(ctx context.Context, scope string) (Token, error) {
	return e.grant(ctx, "client_credentials", map[string]string{"scope": scope})
}
