package token

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func jwtOf(header, payload string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(header)) + "." + b([]byte(payload)) + "." + b([]byte("signature"))
}

func TestAssertionIsForTheServer(t *testing.T) {
	const issuer, endpoint = "https://as.example/tenant", "https://token.example/token"
	for payload, ok := range map[string]bool{
		`{"aud":"https://as.example/tenant"}`:      true,
		`{"aud":"https://AS.example:443/tenant/"}`: true,
		`{"aud":"https://as.example/"}`:            false,
		`{"aud":"https://as.example/tenant/par"}`:  true,
		`{"aud":["https://as.example/tenant","https://token.example/token","https://as.example/tenant/par"]}`: true,
		`{"aud":"https://as.example/tenant2"}`:                        false,
		`{"aud":"https://as.example/tenant/../other"}`:                false,
		`{"aud":"https://as.example/tenant/%2e%2e/other"}`:            false,
		`{"aud":"https://as.example/tenant/par?t=other"}`:             false,
		`{"aud":"https://token.example"}`:                             false,
		`{"aud":"https://token.example/other"}`:                       false,
		`{"aud":"https://as.example/other"}`:                          false,
		`{"aud":"https://as.example/tenant?t=other"}`:                 false,
		`{"aud":"as.example/other"}`:                                  false,
		`{"aud":"https://token.example/tenant"}`:                      false,
		`{"aud":"wss://sts.example"}`:                                 false,
		`{"aud":"grpc://sts.example/x"}`:                              false,
		`{"aud":"spiffe://as.example/tenant"}`:                        false,
		`{"aud":"spiffe://prod/vault"}`:                               false,
		`{"aud":["https://as.example/tenant","spiffe://prod/vault"]}`: false,
		`{"aud":"/sts.example/x"}`:                                    false,
		`{"aud":"///sts/x"}`:                                          false,
		`{"aud":"vault:8200"}`:                                        false,
		`{"aud":"localhost:8080/x"}`:                                  false,
		`{"aud":"localhost"}`:                                         false,
		`{"aud":["my-service","LocalHost/token"]}`:                    false,
		`{"aud":"as.localhost"}`:                                      false,
		`{"aud":"localhost-service"}`:                                 true,
		`{"aud":"urn:example:service"}`:                               true,
		`{"aud":"https://token.example/token"}`:                       true,
		`{"aud":["https://as.example/tenant","my-service"]}`:          true,
		`{"aud":"as.example"}`:                                        false,
		`{"aud":"token.example"}`:                                     false,
		`{"aud":"token.example/token"}`:                               true,
		`{"aud":["https://x.example","https://as.example"]}`:          false,
		`{"aud":["my-service","https://x.example"]}`:                  false,
		`{"aud":["https://as.example","sts.example.com"]}`:            false,
		`{"aud":"sts.amazonaws.com"}`:                                 false,
		`{"aud":["https://x.example",7]}`:                             false,
		`{"aud":"sts.example."}`:                                      false,
		`{"aud":"//sts.example/token"}`:                               false,
		`{"aud":"//sts/token"}`:                                       false,
		`{"aud":"//me@sts.example"}`:                                  false,
		`{"aud":"//as.example/tenant"}`:                               true,
		`{"aud":"sts.example?tenant=1"}`:                              false,
		`{"aud":" sts.example"}`:                                      false,
		`{"aud":"sts.example#x"}`:                                     false,
		`{"aud":"sts_1.bücher.example"}`:                              false,
		`{"aud":"fd00::1"}`:                                           false,
		`{"aud":"fd00::1/token"}`:                                     false,
		`{"aud":"[fd00::1]"}`:                                         false,
		`{"aud":"url:https://evil.example"}`:                          false,
		`{"aud":"host:evil.example"}`:                                 false,
		`{"aud":"evil.example:https"}`:                                false,
		`{"aud":"evil.example other.example"}`:                        false,
		`{"aud":"as.example\tother"}`:                                 false,
		`{"aud":"user@evil.example"}`:                                 false,
		`{"aud":"user@evil"}`:                                         false,
		`{"aud":"HTTP/evil.example"}`:                                 false,
		`{"aud":"HTTPS:evil"}`:                                        false,
		`{"aud":"https:/evil"}`:                                       false,
		`{"aud":"evil。example"}`:                                      false,
		`{"aud":"evil%2eexample"}`:                                    false,
		`{"aud":"URN:example.com:service"}`:                           true,
		`{"aud":"urn:example:a/b"}`:                                   true,
		`{"aud":"urn://good.example/token"}`:                          false,
		`{"aud":"urn:8443"}`:                                          false,
		`{"aud":"api:evil.example"}`:                                  false,
		`{"aud":"api:8443"}`:                                          false,
		`{"aud":"api:8443/token"}`:                                    false,
		`{"aud":"API://workload.example/a"}`:                          true,
		`{"aud":"intranet/token"}`:                                    false,
		`{"aud":"intranet:8443?x=1"}`:                                 false,
		`{"aud":"intranet:8443#f"}`:                                   false,
		`{"aud":"intranet?x"}`:                                        false,
		`{"aud":"intranet#f"}`:                                        false,
		`{"aud":"intranet:/?x"}`:                                      false,
		`{"aud":"intranet:?x=1"}`:                                     false,
		`{"aud":"wss:good/token"}`:                                    false,
		`{"aud":"wss:good?x"}`:                                        false,
		`{"aud":"wss:good#f"}`:                                        false,
		`{"aud":"mailto:good/x"}`:                                     false,
		`{"aud":"urn:example:a?x#f"}`:                                 true,
		`{"aud":"my-service:a"}`:                                      true,
		`{"aud":"localhost?x"}`:                                       false,
		`{"aud":"fd00::1?x"}`:                                         false,
		`{"aud":"fd00::1#f"}`:                                         false,
		`{"aud":"intranet:/token"}`:                                   false,
		`{"aud":"spn:5f2d4a4e-1b1c-4a66-9a3f-0c8d6f1f2b3a"}`:          true,
		`{"aud":"arn:aws:iam::123456789012:role/x"}`:                  true,
		`{"aud":"team/my_service"}`:                                   false,
		`{"aud":"5f2d4a4e-1b1c-4a66-9a3f-0c8d6f1f2b3a"}`:              true,
		`{"aud":"1058374623"}`:                                        true,
		`{"aud":" my-service "}`:                                      true,
		`{"aud":["",null]}`:                                           true,
		`{"aud":"api://workload"}`:                                    true,
		`{"aud":"my-service"}`:                                        true,
		`{}`:                                                          true,
		`{"aud":[]}`:                                                  true,
		`{"aud":7}`:                                                   false,
		`{"aud":"https://kubernetes.default.svc"}`:                    false,
		`{"aud":["https://sts.example","https://as.example.evil"]}`:   false,
		`{"aud":"http://as.example/tenant"}`:                          false,
	} {
		if err := CheckAudience(jwtOf(`{"alg":"ES256"}`, payload), issuer, endpoint, true); errors.Is(err, ErrAudience) == ok || (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", payload, err, ok)
		}
	}
}

// The metadata of a hostile authorization server can name the token endpoint of an honest one. If the user has not named the issuer, an
// assertion for the honest server's token endpoint is refused, unless the token endpoint is below the issuer. The tenants of a host share its
// origin.
func TestTokenEndpointElsewhereIsNoAudience(t *testing.T) {
	for _, tt := range []struct {
		issuer, endpoint, audiences string
		ok                          bool
	}{
		{"https://evil.example", "https://as.example/token", `"https://as.example/token"`, false},
		{"https://evil.example", "https://as.example/token", `["https://evil.example","https://as.example/token"]`, false},
		{"https://evil.example", "https://as.example/token", `"https://evil.example"`, true},
		{"https://accounts.google.com", "https://oauth2.googleapis.com/token", `"https://oauth2.googleapis.com/token"`, false},
		{"https://accounts.google.com", "https://oauth2.googleapis.com/token", `"https://accounts.google.com"`, true},
		{"https://as.example", "https://as.example:8443/token", `"https://as.example:8443/token"`, false},
		{"https://as.example", "https://login.as.example/token", `"https://login.as.example/token"`, false},
		{"https://as.example", "https://AS.example:443/oauth/token", `"https://as.example/oauth/token"`, true},
		{"https://as.example/", "https://as.example/oauth/token", `"https://as.example/oauth/token"`, true},
		{"https://as.example/realms/r", "https://AS.example:443/realms/r/protocol/token", `"https://as.example/realms/r/protocol/token"`, true},
		{"https://as.example/evil", "https://as.example/bank/token", `"https://as.example/bank/token"`, false},
		{"https://as.example/evil", "https://as.example/bank/token", `["https://as.example/evil","https://as.example/bank/token"]`, false},
		{"https://as.example/evil", "https://as.example/bank/token", `"https://as.example/evil"`, true},
		{"https://as.example/bank/evil", "https://as.example/bank/token", `"https://as.example/bank/token"`, false},
		{"https://as.example/bank", "https://as.example/bank2/token", `"https://as.example/bank2/token"`, false},
		{"https://as.example/evil", "https://as.example/evil/../bank/token", `"https://as.example/evil/../bank/token"`, false},
		{"https://as.example/evil", "https://as.example/evil/%2e%2e/bank/token", `"https://as.example/evil/%2e%2e/bank/token"`, false},
		{"https://as.example/tenant", "https://as.example/oauth/token", `"https://as.example/oauth/token"`, false},
		{"https://login.example/tenant/v2.0", "https://login.example/tenant/oauth2/v2.0/token", `"https://login.example/tenant/oauth2/v2.0/token"`, false},
	} {
		assertion := jwtOf(`{"alg":"ES256"}`, `{"aud":`+tt.audiences+`}`)
		for name, check := range map[string]func(assertion, issuer, endpoint string, named bool) error{"assertion": CheckAudience, "ID-JAG": CheckIDJAG} {
			err := check(assertion, tt.issuer, tt.endpoint, false)
			e, unnamed := errors.AsType[*UnnamedIssuerError](err)
			if (err == nil) != tt.ok || unnamed == tt.ok || unnamed && (e.Issuer != tt.issuer || !errors.Is(err, ErrAudience)) {
				t.Errorf("%s %+v: %v", name, tt, err)
			}
			if err := check(assertion, tt.issuer, tt.endpoint, true); err != nil {
				t.Errorf("%s %+v, and the user named the issuer: %v", name, tt, err)
			}
		}
	}
	err := CheckAudience(jwtOf(`{"alg":"ES256"}`, `{"aud":"https://x.example/token"}`), "https://as.example", "https://as.example/token", false)
	if _, unnamed := errors.AsType[*UnnamedIssuerError](err); unnamed || !errors.Is(err, ErrAudience) {
		t.Errorf("naming the issuer does not help here: %v", err)
	}
}

// An audience at or below the issuer pins an assertion to this issuer.
func TestNamesIssuer(t *testing.T) {
	const issuer = "https://as.example/tenant"
	for payload, want := range map[string]bool{
		`{"aud":"https://as.example/tenant"}`:                true,
		`{"aud":"https://as.example/tenant/token"}`:          true,
		`{"aud":["my-service","https://as.example/tenant"]}`: true,
		`{"aud":"https://as.example/oauth/token"}`:           false,
		`{"aud":"https://token.example/token"}`:              false,
		`{"aud":["https://token.example/token","urn:x"]}`:    false,
		`{"aud":"my-service"}`:                               false,
		`{"aud":[]}`:                                         false, `{}`: false, `{"aud":""}`: false, `{"aud":7}`: false,
	} {
		if got := NamesIssuer(jwtOf(`{"alg":"ES256"}`, payload), issuer); got != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
}

// The tenants of a host share its origin. A URL counts for the tenant that it belongs to, and the origin counts only for a server at the root
// or for a token endpoint on the origin. The token endpoint for mutual TLS may be on another origin.
func TestAssertionNamesAPartOfTheServer(t *testing.T) {
	for _, tt := range []struct {
		issuer, endpoint, audience string
		ok                         bool
	}{
		{"https://as.example", "https://mtls.example/token", "https://as.example/token", true},
		{"https://as.example/", "https://mtls.example/token", "https://as.example/oauth/par", true},
		{"https://as.example", "https://mtls.example/token", "https://as.example/", true},
		{"https://as.example/evilas", "https://as.example/evilas/token", "https://as.example/victim", false},
		{"https://as.example/evilas", "https://as.example/evilas/token", "https://as.example", false},
		{"https://evil.example", "https://as.example/?t=evil", "https://as.example", false},
		{"https://evil.example", "https://as.example/token?t=evil", "https://as.example/token", false},
		{"https://evil.example", "https://as.example/~evil/token", "https://as.example", false},
		{"http://127.0.0.1:18502/~mallory", "http://127.0.0.1:18503/token", "http://127.0.0.1:18502", false},
		{"http://127.0.0.1:18502/~mallory", "http://127.0.0.1:18503/token", "http://127.0.0.1:18502/", false},
		{"https://as.example/b2c", "https://as.example/token?p=a", "https://as.example/token?p=a", true},
		{"https://as.example/b2c", "https://as.example/token?p=a", "https://as.example/token?p=b", false},
		{"https://as.example/b2c", "https://as.example/token?p=a", "https://as.example?p=b", false},
	} {
		err := CheckAudience(jwtOf(`{"alg":"ES256"}`, `{"aud":"`+tt.audience+`"}`), tt.issuer, tt.endpoint, true)
		if errors.Is(err, ErrAudience) == tt.ok || (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// An ID-JAG without an audience is refused, because any authorization server could use it.
func TestIDJAGHasAnAudience(t *testing.T) {
	const issuer = "https://as.example"
	for payload, ok := range map[string]bool{`{}`: false, `{"aud":[]}`: false, `{"aud":null}`: false, `{"aud":""}`: false, `{"aud":[" "]}`: false, `{"aud":[null]}`: false, `{"aud":"https://as.example"}`: true, `{"aud":"https://x.example"}`: false} {
		if err := CheckIDJAG(jwtOf(`{"alg":"ES256"}`, payload), issuer, issuer+"/token", false); errors.Is(err, ErrAudience) == ok || (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", payload, err, ok)
		}
	}
}

// Claims accepts only three parts of base64url with JSON objects in the first two.
func FuzzClaims(f *testing.F) {
	f.Add(jwtOf(`{"alg":"ES256"}`, `{"aud":["a"]}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Claims(text)
		if err != nil {
			return
		}
		if c == nil || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_\r\n") != ".." && strings.Count(text, ".") != 2 {
			t.Errorf("%q passes", text)
		}
		_ = CheckAudience(text, "https://as.example", "https://as.example/token", false)
	})
}
