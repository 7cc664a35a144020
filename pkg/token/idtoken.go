package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcpauth/internal/httpx"
)

// ErrIDToken is returned if an ID token is missing, expired, or for another client, login or user.
var ErrIDToken = errors.New("the ID token is refused")

// IDToken contains the expected claims of an ID token (OpenID Connect Core §2).
type IDToken struct {
	Issuer, ClientID string
	Nonce            string // nonce of the authorization request
	Subject          string // sub of the login's first ID token; empty: the ID token to check is the first one
}

// Check checks the claims of an ID token and returns its subject (OpenID Connect Core §3.1.3.7). Check does not verify the signature, so
// the text must come directly from the token endpoint over TLS.
func (want IDToken) Check(text string, now time.Time) (subject string, err error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrIDToken}, args...)...)
	}
	if text == "" {
		return "", refuse("the answer contains no ID token (OpenID Connect Core §3.1.3.3)")
	}
	c, err := Claims(text)
	if err != nil {
		return "", refuse("%w", err)
	}
	claim := func(name string) string { return jsonObject(c).stringMember(name) }
	var exp float64
	_ = json.Unmarshal(c["exp"], &exp) // a missing exp counts as expired
	end := time.Unix(int64(exp), 0)
	aud, azp := parseAudiences(c["aud"]), claim("azp")
	const section = "(OpenID Connect Core §3.1.3.7)"
	switch {
	case claim("iss") != want.Issuer:
		return "", refuse("iss is %s, expected %q "+section, httpx.Quote(claim("iss"), 200), want.Issuer)
	case !slices.Contains(aud, want.ClientID):
		return "", refuse("aud lacks the client %q "+section, want.ClientID)
	case (len(aud) > 1 || azp != "") && azp != want.ClientID:
		return "", refuse("azp is %s, expected %q "+section, httpx.Quote(azp, 200), want.ClientID)
	case now.After(end.Add(idTokenSkew)):
		return "", refuse("it expired at %s "+section, end.UTC().Format(time.RFC3339))
	case claim("nonce") != want.Nonce && (want.Subject == "" || c["nonce"] != nil): // the ID token of a refresh may lack nonce (§12.2)
		return "", refuse("nonce is not the one that was sent " + section)
	case claim("sub") == "" || len(claim("sub")) > 255:
		return "", refuse("it has no sub of at most 255 characters (OpenID Connect Core §2)")
	case want.Subject != "" && claim("sub") != want.Subject:
		return "", refuse("sub is another user than at the login (OpenID Connect Core §12.2)")
	}
	return claim("sub"), nil
}

// idTokenSkew is the allowed difference between the clocks of client and provider.
const idTokenSkew = time.Minute
