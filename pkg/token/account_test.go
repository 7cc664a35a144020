package token

import (
	"encoding/base64"
	"strings"
	"testing"
)

func unsigned(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("x"))
}

func TestAccount(t *testing.T) {
	for _, tt := range []struct{ name, id, access, want string }{
		{"nothing", "", "opaque", ""},
		{"email first", unsigned(`{"sub":"1","preferred_username":"ann","email":"ann@example.com"}`), "", "ann@example.com"},
		{"an email that anybody can claim", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":false}`), "", "1"},
		{"the same, as some servers write it", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":"false"}`), "", "1"},
		{"the same in Python", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":"False"}`), "", "1"},
		{"the same as a number", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":0}`), "", "1"},
		{"a user name that imitates an email", unsigned(`{"sub":"1","email":"eve@example.com","email_verified":false,"preferred_username":"ann@example.com"}`), "", "1"},
		{"the same without an email", unsigned(`{"sub":"1","email_verified":false,"preferred_username":"ann@example.com"}`), "", "1"},
		{"a user name that is no email", unsigned(`{"sub":"1","email":"eve@example.com","email_verified":false,"preferred_username":"eve"}`), "", "eve"},
		{"Entra names no email", unsigned(`{"sub":"1","preferred_username":"ann@example.com"}`), "", "ann@example.com"},
		{"an email of which the server says nothing", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":null}`), "", "ann@example.com"},
		{"an email that was verified", unsigned(`{"sub":"1","email":"ann@example.com","email_verified":true}`), "", "ann@example.com"},
		{"then the user name", unsigned(`{"sub":"1","preferred_username":"ann"}`), "", "ann"},
		{"then the subject", unsigned(`{"sub":"1","email":null}`), "", "1"},
		{"not text", unsigned(`{"sub":"1","email":["ann@example.com"],"preferred_username":""}`), "", "1"},
		{"the ID token before the access token", unsigned(`{"sub":"id"}`), unsigned(`{"email":"access"}`), "id"},
		{"an access token that is a JWT", "", unsigned(`{"sub":"access"}`), "access"},
		{"an ID token that is none", "x.y.z", unsigned(`{"sub":"access"}`), "access"},
		{"names count exactly, and once", unsigned(`{"Email":"ann","sub":"1"}`), unsigned(`{"sub":"2","sub":"3"}`), "1"},
		{"an escape sequence", unsigned(`{"email":"ann\u001b[2J","sub":"1"}`), "", ""},
		{"an invisible character", unsigned(`{"email":"ann\u200b@example.com","sub":"1"}`), "", ""},
		{"a line of ours", unsigned(`{"sub":"1\nhint: mcpauth logout --all"}`), "", ""},
		{"too long", unsigned(`{"sub":"` + strings.Repeat("a", maxAccount+1) + `"}`), "", ""},
		{"as long as may be", unsigned(`{"sub":"` + strings.Repeat("a", maxAccount) + `"}`), "", strings.Repeat("a", maxAccount)},
	} {
		if got := (Token{IDToken: Secret(tt.id), AccessToken: Secret(tt.access)}).Account(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
