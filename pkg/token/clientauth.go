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

	"github.com/go-jose/go-jose/v4"
)

const (
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = 60 * time.Second
)

// ClientAuth is a client and its authentication method. Method is none, client_secret_basic, client_secret_post, private_key_jwt,
// tls_client_auth or self_signed_tls_client_auth. An empty Method means none.
type ClientAuth struct {
	ID     string // client ID; empty: not sent
	Secret Secret // for client_secret_basic and client_secret_post
	Method string
	Key    *Key // for private_key_jwt

	Audience string   // aud of the client assertion; empty: the token endpoint
	Algs     []string // token_endpoint_auth_signing_alg_values_supported in the metadata; empty: any algorithm is allowed
}

// addClientAuth adds the client authentication to the form or the header, and removes any other client authentication. RFC 6749 §2.3: "The
// client MUST NOT use more than one authentication method in each request". For the methods with a TLS certificate (RFC 8705 §2),
// addClientAuth adds only the client ID, because Endpoint.HTTP presents the certificate.
func (c ClientAuth) addClientAuth(form url.Values, header http.Header, endpoint string, now time.Time) error {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		form.Del(name)
	}
	if strings.HasPrefix(c.Method, "client_secret_") && c.Secret == "" {
		return fmt.Errorf("client authentication %s needs a client secret, but there is none", c.Method)
	}
	// Some servers count the Authorization header and a client_id in the form as two authentication methods.
	if c.Method != "client_secret_basic" && c.ID != "" {
		form.Set("client_id", c.ID)
	}
	switch c.Method {
	case "", "none", "tls_client_auth", "self_signed_tls_client_auth":
	case "client_secret_basic":
		// RFC 6749 §2.3.1: the client ID and the secret are form-encoded before they are joined.
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(string(c.Secret)))))
	case "client_secret_post":
		form.Set("client_secret", string(c.Secret))
	case "private_key_jwt": // RFC 7523 §2.2
		assertion, err := c.newAssertion(endpoint, now)
		if err != nil {
			return fmt.Errorf("client authentication private_key_jwt: %w", err)
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default:
		return fmt.Errorf("client authentication %q is unknown: expected none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth", c.Method)
	}
	return nil
}

// newAssertion returns a client assertion that is valid for one minute (RFC 7523 §3).
func (c ClientAuth) newAssertion(endpoint string, now time.Time) (string, error) {
	switch {
	case c.Key == nil:
		return "", errors.New("there is no key")
	case c.ID == "":
		return "", errors.New("there is no client id")
	}
	alg, err := c.Key.chooseAlg(c.Algs)
	if err != nil {
		return "", err
	}
	return c.Key.sign(alg, (&jose.SignerOptions{}).WithType("JWT"), map[string]any{
		"iss": c.ID,
		"sub": c.ID,
		"aud": cmp.Or(c.Audience, endpoint), // Audience is the issuer, as in RFC 7523bis and the MCP client credentials extension
		"iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
		"jti": rand.Text(),
	})
}
