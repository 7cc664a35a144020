package token

import (
	"strings"

	"mcpauth/internal/httpx"
)

// maxAccount limits the length of an account name in characters.
const maxAccount = 200

// Account returns whom the tokens are for: email, else preferred_username, else sub, of the ID token or of an access token that is a JWT. Empty: the
// answer does not say. Nobody verified it, so it is for people to read. A name that is not safe to print counts as none: what is left of it after
// cleaning could be the name of somebody else. An email that the server has not verified counts as none either, because anybody can claim it
// (OpenID Connect Core §5.1).
func (t Token) Account() string {
	for _, text := range []Secret{t.IDToken, t.AccessToken} {
		claims, err := Claims(string(text))
		if err != nil {
			continue
		}
		switch strings.ToLower(strings.Trim(string(claims["email_verified"]), `"`)) {
		case "", "null", "true":
		default: // false, "False", 0
			delete(claims, "email")
		}
		for _, claim := range []string{"email", "preferred_username", "sub"} {
			if name := members(claims).text(claim); name != "" {
				if name != httpx.Text(name, maxAccount) {
					return ""
				}
				return name
			}
		}
	}
	return ""
}
