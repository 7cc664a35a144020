package token

import (
	"context"
	"errors"
	"strings"
)

// JWTBearer redeems an assertion that another party signed (RFC 7523 §2.1): for workload identity, and as the second step of
// enterprise-managed authorization. It removes white space around the assertion, such as the line end of a file.
func (e Endpoint) JWTBearer(ctx context.Context, assertion, scope string) (Token, error) {
	assertion = strings.TrimSpace(assertion)
	if assertion == "" {
		return Token{}, errors.New("jwt-bearer: the assertion is empty")
	}
	return e.grant(ctx, "urn:ietf:params:oauth:grant-type:jwt-bearer", map[string]string{"assertion": assertion, "scope": scope})
}
