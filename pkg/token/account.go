package token

import (
	"strings"

	"mcpauth/internal/httpx"
)

// maxAccount limits the length of an account name in characters.
const maxAccount = 200

// Account returns the account that the tokens are for, or "" if the account is unknown. The account is the first of the claims email,
// preferred_username and sub in the ID token, or in an access token that is a JWT. The claims are not verified, so the account is only for
// display. Account returns "" for a name that is not safe to print, because the name after cleaning could be that of another user. Account
// ignores an unverified email, because anybody can claim it (OpenID Connect Core §5.1). Users may be able to choose their preferred_username, so
// Account ignores one that looks like an email if the email is unverified. Microsoft Entra sends such a name and no email.
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
			if strings.Contains(jsonObject(claims).stringMember("preferred_username"), "@") {
				delete(claims, "preferred_username")
			}
		}
		for _, claim := range []string{"email", "preferred_username", "sub"} {
			if name := jsonObject(claims).stringMember(claim); name != "" {
				if name != httpx.Text(name, maxAccount) {
					return ""
				}
				return name
			}
		}
	}
	return ""
}
