package token

import (
	"context"
	"errors"
	"strings"
)

// JWTBearer redeems an assertion that another party signed (RFC 7523 §2.1): workload identity, and the second half of enterprise-managed
// authorization. White space around it, such as the line end of the file it came from, is dropped.
func (e Endpoint) JWTBearer(ctx context.Context, assertion, scope string) (Token, error) {
	assertion = strings.TrimSpace(assertion)
	if assertion == "" {
		return Token{}, errors.New("jwt-bearer: the assertion is empty")
	}
	return e.grant(ctx, "urn:ietf:params:oauth:grant-type:jwt-bearer", map[string]string{"assertion": assertion, "scope": scope})
}
