package dcr

import (
	"context"
	"fmt"
	"net/http"

	"mcpauth/internal/httpx"
)

// Delete deletes a dynamic registration that has a RegistrationURI (RFC 7592 §2.3). Errors name only the origin of this URL, because its path
// may contain the registration access token.
func Delete(ctx context.Context, hc *http.Client, c Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.RegistrationURI, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+string(c.RegistrationToken))
	origin := req.URL.Scheme + "://" + req.URL.Host
	res, err := httpx.DoHeader(hc, req)
	if err != nil {
		return fmt.Errorf("deleting the client registration at %s: %w", origin, httpx.Bare(err))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return refusalError(origin, res)
	}
	return nil
}
