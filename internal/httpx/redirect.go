// Redirects: the bearer token and the user's headers are never sent to another origin, and a POST, which may contain a secret, follows no
// redirect.

package httpx

import (
	"fmt"
	"net/http"
)

const maxRedirects = 5

// checkRedirect is the redirect policy of every client: GET and HEAD requests follow at most five redirects, only to allowed URLs; for all
// other requests the redirect is returned as the response.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet && first.Method != http.MethodHead {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if _, err := Check(req.URL.String(), Local(first.URL)); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	if !SameOrigin(first.URL, req.URL) {
		req.Header = harmless(first.Header)
	}
	return nil
}

// harmless returns the headers that may be sent to an origin that the caller did not name.
func harmless(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range []string{"Accept", "User-Agent", "Mcp-Protocol-Version"} {
		if v := h.Values(name); v != nil {
			out[name] = v
		}
	}
	return out
}
