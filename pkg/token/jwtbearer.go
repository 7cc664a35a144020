// This file exchanges a JWT that another party signed for a token (RFC 7523 §2.1): workload identity, and the second half of
// enterprise-managed authorization.

package token

import (
	"context"
	"errors"
	"strings"
)

// JWTBearer redeems an assertion. White space around it, such as the line end of the file it came from, is dropped.
func (e Endpoint) JWTBearer(ctx context.Context, assertion, scope string) (Token, error) {
	assertion = strings.TrimSpace(assertion)
	if assertion == "" {
		return Token{}, errors.New("jwt-bearer: the assertion is empty")
	}
	return e.otherGrant(ctx, "urn:ietf:params:oauth:grant-type:jwt-bearer", scope, map[string]string{"assertion": assertion})
}
