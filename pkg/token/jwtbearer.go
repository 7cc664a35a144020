package token

import "context"

// JWTBearer exchanges an assertion for a token (RFC 7523 §2.1). The assertion is a JWT for workload identity, or an ID-JAG from Exchange.
func (e Endpoint) JWTBearer(ctx context.Context, assertion, scope string) (Token, error) {
	return e.grant(ctx, "urn:ietf:params:oauth:grant-type:jwt-bearer", map[string]string{"assertion": assertion, "scope": scope})
}
