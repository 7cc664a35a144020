package token

import "context"

// ClientCredentials requests a token for the client itself (RFC 6749 §4.4, MCP client credentials extension). The response usually has no
// refresh token.
func (e Endpoint) ClientCredentials(ctx context.Context, scope string) (Token, error) {
	return e.grant(ctx, "client_credentials", map[string]string{"scope": scope})
}
