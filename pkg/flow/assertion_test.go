package flow

import (
	"context"
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

// If the time limit ends the command that prints the assertion, the error is that of the time limit.
func TestAssertionCommandIsLate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := (&Client{}).runForAssertion(ctx, t.TempDir(), os.Args[:1]); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOptions) {
		t.Error(err)
	}
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
		got, err := (&Client{}).loadAssertion(Settings{AssertionFile: file})
		if (err == nil) != tt.ok || tt.ok && got != good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!errors.Is(err, ErrOptions) || len(tt.text) > 8 && strings.Contains(err.Error(), tt.text[:8])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A later command in another folder finds the file of --assertion file:FILE.
func TestAssertionFileIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	want, err := filepath.Abs("a.jwt")
	if err != nil {
		t.Fatal(err)
	}
	if s := (LoginOptions{}).mergeSettings(credential{}, Settings{Grant: GrantJWTBearer, Assertion: "file:a.jwt"}, loginReason{}); s.AssertionFile != want || s.Assertion != "" {
		t.Errorf("got %q and %q", s.AssertionFile, s.Assertion)
	}
}

// A record of an earlier version does not contain the folder of the command. mcpauth does not run the command in the working directory.
func TestCommandWithoutAFolder(t *testing.T) {
	stored := credential{Settings: Settings{Grant: GrantJWTBearer, Assertion: "exec:./print"}}
	merged := (LoginOptions{}).mergeSettings(stored, Settings{}, loginReason{})
	if err := (&Client{}).checkAssertion(merged); err != nil {
		t.Errorf("login --if-needed with a valid token: %v", err)
	}
	if _, err := (&Client{}).fetchAssertion(t.Context(), merged, ""); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "log in again") {
		t.Error(err)
	}
}
