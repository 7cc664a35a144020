// Which redirects are followed. The bearer token and the user's own headers never leave the origin they were meant for, and a POST, which
// may carry a secret, follows no redirect.

package httpx

import (
	"fmt"
	"net/http"
)

const maxRedirects = 5

// checkRedirect is the policy of every client: reading requests follow at most five redirects, to allowed addresses only; for all
// others the redirect itself is the answer.
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
