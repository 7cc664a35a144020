// Redirects. The bearer token and the user's headers are never sent to another origin. A POST follows no redirect, because it may contain a
// secret.

package httpx

import (
	"cmp"
	"fmt"
	"net/http"
)

const maxRedirects = 5

// checkRedirect is the redirect policy of every client. GET and HEAD requests follow at most five redirects, and only to allowed URLs. For
// other requests, the redirect itself is returned as the response.
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
		req.Header = harmlessHeaders(first.Header)
	}
	return nil
}

// NoRedirects returns a copy of a client that follows no redirect and keeps no cookies. If c is nil, NoRedirects copies Default.
func NoRedirects(c *http.Client) *http.Client {
	c = cmp.Or(c, Default())
	return &http.Client{Transport: c.Transport, Timeout: c.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// checkLocation returns an *AddressError if a redirect leads to a text that is not a URL. net/http would return an error without a type. If only
// the resolved URL contains a secret, without dot segments, the masked URL replaces the header.
func (s *Secrets) checkLocation(req *http.Request, res *http.Response) error {
	location := res.Header.Get("Location")
	if res.StatusCode/100 != 3 || location == "" {
		return nil
	}
	to, err := req.URL.Parse(location)
	if err != nil {
		return refuse(location, "not a URL")
	}
	if text := to.String(); s.Holds(text) {
		res.Header.Set("Location", s.finder(inResponse).clean(text))
	}
	return nil
}

// harmlessHeaders returns the headers that may be sent to another origin.
func harmlessHeaders(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range []string{"Accept", "Mcp-Protocol-Version"} {
		if v := h.Values(name); v != nil {
			out[name] = v
		}
	}
	return out
}
