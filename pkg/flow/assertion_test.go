package flow

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func jwtOf(header, payload string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(header)) + "." + b([]byte(payload)) + "." + b([]byte("signature"))
}

func TestAssertionIsAJWT(t *testing.T) {
	good := jwtOf(`{"alg":"ES256"}`, `{"sub":"x"}`)
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"a JWT":                   {good, true},
		"with a line end":         {good + "\n", true},
		"a private key":           {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----", false},
		"a password":              {"hunter2hunter2", false},
		"three words":             {"root.x.y", false},
		"a member twice":          {jwtOf(`{"alg":"ES256"}`, `{"aud":"a","aud":"b"}`), false},
		"no alg":                  {jwtOf(`{"typ":"JWT"}`, `{}`), false},
		"a header that is a list": {jwtOf(`["alg"]`, `{}`), false},
		"a payload that is null":  {jwtOf(`{"alg":"ES256"}`, `null`), false},
		"no signature":            {strings.TrimSuffix(good, base64.RawURLEncoding.EncodeToString([]byte("signature"))), false},
		"four parts":              {good + ".x", false},
		"empty":                   {"", false},
		"huge":                    {good + strings.Repeat("a", maxSecretFile), false},
	} {
		file := filepath.Join(t.TempDir(), "assertion")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readAssertion(file)
		if (err == nil) != tt.ok || tt.ok && got != good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!errors.Is(err, ErrOptions) || len(tt.text) > 8 && strings.Contains(err.Error(), tt.text[:8])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAssertionIsForTheServer(t *testing.T) {
	const issuer, endpoint = "https://as.example/tenant", "https://token.example/token"
	for payload, ok := range map[string]bool{
		`{"aud":"https://as.example/tenant"}`:                       true,
		`{"aud":"https://AS.example:443/other"}`:                    true,
		`{"aud":"https://token.example/token"}`:                     true,
		`{"aud":["https://as.example/token","my-service"]}`:         true,
		`{"aud":"as.example"}`:                                      true,
		`{"aud":["https://x.example","https://as.example"]}`:        false,
		`{"aud":["my-service","https://x.example"]}`:                false,
		`{"aud":["https://as.example","sts.example.com"]}`:          false,
		`{"aud":"sts.amazonaws.com"}`:                               false,
		`{"aud":["https://x.example",7]}`:                           false,
		`{"aud":"api://workload"}`:                                  true,
		`{"aud":"my-service"}`:                                      true,
		`{}`:                                                        true,
		`{"aud":[]}`:                                                true,
		`{"aud":7}`:                                                 false,
		`{"aud":"https://kubernetes.default.svc"}`:                  false,
		`{"aud":["https://sts.example","https://as.example.evil"]}`: false,
		`{"aud":"http://as.example/tenant"}`:                        false,
	} {
		if err := forServer(jwtOf(`{"alg":"ES256"}`, payload), issuer, endpoint); errors.Is(err, ErrAudience) == ok || (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", payload, err, ok)
		}
	}
}

// What passes for a JWT is one: three parts of base64url, with objects in the first two.
func FuzzClaims(f *testing.F) {
	f.Add(jwtOf(`{"alg":"ES256"}`, `{"aud":["a"]}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := claims(text)
		if err != nil {
			return
		}
		if c == nil || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_\r\n") != ".." && strings.Count(text, ".") != 2 {
			t.Errorf("%q passes", text)
		}
		_ = forServer(text, "https://as.example", "https://as.example/token")
	})
}
