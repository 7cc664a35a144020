// This file keeps credentials out of errors and logs: some servers put the token that they refuse into their words.

package mcpclient

import (
	"net/http"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// minHidden is the length in bytes from which the value of a user's header is taken for a secret.
const minHidden = 8

// hide remembers the credentials of a request.
func (c *Client) hide(h http.Header) {
	var secrets []string
	for name, values := range h {
		for _, v := range values {
			_, credentials, ok := strings.Cut(v, " ")
			switch {
			case name == "Authorization" && ok:
				secrets = append(secrets, credentials)
			case name == "Authorization" || c.Header.Get(name) == v && len(v) >= minHidden && name != "User-Agent":
				secrets = append(secrets, v)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		if !slices.Contains(c.hidden, s) { // the raw form is the first of its forms
			c.hidden = append(c.hidden, httpx.Forms([]string{s})...)
		}
	}
}

// clean takes the credentials out of a server's words.
func (c *Client) clean(s string) string {
	c.mu.Lock()
	hidden := slices.Clone(c.hidden)
	c.mu.Unlock()
	if len(hidden) == 0 {
		return s
	}
	return httpx.Mask(s, hidden)
}
