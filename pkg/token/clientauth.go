package token

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = 60 * time.Second
)

// ClientAuth is the client, and how it proves that to the server.
type ClientAuth struct {
	ID     string
	Secret Secret
	Method string // none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth; empty: by what is there: key, secret (basic, RFC 7591 §2), none
	Key    *Key   // for private_key_jwt

	Audience string   // issuer, the aud of an assertion; empty: the token endpoint
	Algs     []string // token_endpoint_auth_signing_alg_values_supported; empty: unknown, the key decides
}

func (c ClientAuth) method() string {
	switch {
	case c.Method != "":
		return c.Method
	case c.Key != nil:
		return "private_key_jwt"
	case c.Secret != "":
		return "client_secret_basic"
	}
	return "none"
}

// authenticate puts the client into the form or the header, instead of what may be there, in exactly one way: none, client_secret_basic or
// client_secret_post (RFC 6749 §2.3.1), or private_key_jwt (RFC 7523 §2.2, §3). Clients of tls_client_auth and
// self_signed_tls_client_auth (RFC 8705 §2) show the certificate in the handshake, which is up to Endpoint.HTTP, and name themselves in the form.
// RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request".
func (c ClientAuth) authenticate(form url.Values, header http.Header, endpoint string, now time.Time) error {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		form.Del(name)
	}
	method := c.method()
	if strings.HasPrefix(method, "client_secret_") && c.Secret == "" {
		return fmt.Errorf("client authentication %s needs a client secret, but there is none", method)
	}
	// Some servers take Basic and a client_id in the body for two methods.
	if method != "client_secret_basic" && c.ID != "" {
		form.Set("client_id", c.ID)
	}
	switch method {
	case "none", "tls_client_auth", "self_signed_tls_client_auth":
	case "client_secret_basic":
		// RFC 6749 §2.3.1: both are form-encoded first.
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(string(c.Secret)))))
	case "client_secret_post":
		form.Set("client_secret", string(c.Secret))
	case "private_key_jwt":
		assertion, err := c.assertion(endpoint, now)
		if err != nil {
			return fmt.Errorf("client authentication private_key_jwt: %w", err)
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default:
		return fmt.Errorf("client authentication %q is unknown: expected none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth", method)
	}
	return nil
}

// basicParts undoes what authenticate did for client_secret_basic.
func basicParts(basic string) (id, secret string, ok bool) {
	data, err := base64.StdEncoding.DecodeString(basic)
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(data), ":")
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	return id, secret, ok && idErr == nil && secretErr == nil
}

// assertion makes a JWT that only the holder of the key can make, for this server and the next minute (RFC 7523 §3).
func (c ClientAuth) assertion(endpoint string, now time.Time) (string, error) {
	switch {
	case c.Key == nil:
		return "", errors.New("there is no key")
	case c.ID == "":
		return "", errors.New("there is no client id")
	}
	alg, err := c.Key.choose(c.Algs)
	if err != nil {
		return "", err
	}
	return c.Key.sign(alg, "JWT", map[string]any{
		"iss": c.ID,
		"sub": c.ID,
		"aud": cmp.Or(c.Audience, endpoint), // the issuer: RFC 7523bis, and the MCP client credentials extension
		"iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
		"jti": rand.Text(),
	})
}
