package flow

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"mcpauth/internal/httpx"
)

// readAssertion reads the file, and refuses what is not a JWT (RFC 7519 §7.2): nothing of another file, such as a private key, is sent.
func readAssertion(file string) (string, error) {
	text, err := readSecret("assertion", file)
	if err != nil {
		return "", err
	}
	if _, err := claims(text); err != nil {
		return "", fmt.Errorf("%w: assertion file %s: %w (RFC 7523 §3)", ErrOptions, file, err)
	}
	return text, nil
}

// claims reads a JWT without believing it. The errors show nothing of it.
func claims(text string) (map[string]json.RawMessage, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("not a JWT: expected three parts separated by dots, came %d", len(parts))
	}
	var all [3]map[string]json.RawMessage
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || part == "" {
			return nil, fmt.Errorf("not a JWT: part %d is not base64url", i+1)
		}
		if i < 2 && (json.Unmarshal(data, &all[i]) != nil || all[i] == nil) {
			return nil, fmt.Errorf("not a JWT: part %d holds no JSON object", i+1)
		}
	}
	if all[0]["alg"] == nil {
		return nil, fmt.Errorf("not a JWT: its header names no alg")
	}
	return all[1], nil
}

// forServer refuses an assertion whose audience is the address of another server: it would be good there for whoever gets it. An audience
// that is no address, or that is missing, tells nothing, and is left to the server to judge (RFC 7523 §3, point 3).
func forServer(assertion, issuer, endpoint string) error {
	c, err := claims(assertion)
	if err != nil {
		return err
	}
	var audience []string
	var one string
	if json.Unmarshal(c["aud"], &one) == nil {
		audience = []string{one}
	} else if json.Unmarshal(c["aud"], &audience) != nil || len(audience) == 0 {
		return nil
	}
	for _, a := range audience {
		u, err := url.Parse(a)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" {
			return nil
		}
		for _, ours := range []string{issuer, endpoint} {
			if o, err := url.Parse(ours); err == nil && httpx.SameOrigin(u, o) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: aud is %q, and the authorization server is %q (RFC 7523 §3)", ErrAudience, httpx.Text(strings.Join(audience, " "), 200), issuer)
}
