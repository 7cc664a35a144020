package token

import "context"

// JWTBearer redeems an assertion that another party signed (RFC 7523 §2.1): for workload identity, and as the second step of
// enterprise-managed authorization.
func (e Endpoint) JWTBearer(ctx context.Context, assertion, scope string) (Token, error) {
	return e.grant(ctx, "urn:ietf:params:oauth:grant-type:jwt-bearer", map[string]string{"assertion": assertion, "scope": scope})
}
