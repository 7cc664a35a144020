package demo

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

const maxDocument = 64 << 10

// fetchDocument fetches the client ID metadata document at id. If loopback is true, a URL on loopback may use http.
func (s *Server) fetchDocument(id string, loopback bool) (*Client, *oauthError) {
	bad := func(format string, args ...any) (*Client, *oauthError) {
		refused := refuse("invalid_client", "client metadata document: "+format, args...)
		refused.status = http.StatusUnauthorized
		return nil, refused
	}
	u, err := url.Parse(id)
	if err != nil || u.Fragment != "" || u.User != nil || u.Path == "" || u.Path == "/" {
		return bad("the address is not fit for one")
	}
	if u.Scheme != "https" && !(loopback && u.Scheme == "http" && localHost(u.Host)) {
		return bad("the address must be https")
	}
	data, err := download(id)
	if err != nil {
		return bad("%v", err)
	}
	var c Client
	if err := json.Unmarshal(data, &c); err != nil {
		return bad("%v", err)
	}
	switch {
	case c.ID != id:
		return bad("client_id is %q, expected %q", c.ID, id)
	case c.Secret != "" || c.Method != "" && c.Method != "none" && c.Method != "private_key_jwt":
		return bad("shared secrets are not for documents that everyone can read")
	case len(c.RedirectURIs) == 0:
		return bad("redirect_uris is missing")
	}
	c.Method = orText(c.Method, "none")
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{grantCode}
	}
	c.dynamic, c.Scope = true, ""
	s.count("document")
	return &c, nil
}

// download fetches a small document and does not follow redirects.
func download(address string) ([]byte, error) {
	hc := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := hc.Get(address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New("the answer is " + res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxDocument))
}

func decode(r io.Reader, v any) error {
	return json.NewDecoder(io.LimitReader(r, maxDocument)).Decode(v)
}
