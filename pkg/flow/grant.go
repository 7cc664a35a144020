package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Grant names the login whose token the handler uses, so that what a server shows to one login is never served to another: a hash of the
// issuer, the client and the time of the login, which refreshes do not change. It is empty if there is no login.
func (h *Handler) Grant(ctx context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(ctx); err != nil {
		return "", err
	}
	return h.cred.grantID(), nil
}

func (c Credential) grantID() string {
	if !c.hasToken() {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d", c.Issuer, c.Client.ID, c.LoginAt.UnixNano()))
	return hex.EncodeToString(sum[:16])
}
