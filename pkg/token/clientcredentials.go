// This file asks for a token in the client's own name (RFC 6749 §4.4, and the MCP client credentials extension).

package token

import "context"

// ClientCredentials asks for a token for the client itself; there is no user, and usually no refresh token.
func (e Endpoint) ClientCredentials(ctx context.Context, scope string) (Token, error) {
	return e.otherGrant(ctx, "client_credentials", scope, nil)
}
