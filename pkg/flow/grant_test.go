package flow

import (
	"testing"
	"time"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// Grant returns the same value after a refresh, another value for another login, client or issuer, and "" without a login.
func TestGrantID(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	cred := credential{Issuer: "https://as.example.com", Client: dcr.Client{ID: "c"}, LoginAt: at, ObtainedAt: at, Token: token.Token{AccessToken: "a"}}
	refreshed, again, client, issuer, none := cred, cred, cred, cred, cred
	refreshed.Token.AccessToken, refreshed.ObtainedAt = "b", at.Add(time.Hour)
	again.LoginAt = at.Add(time.Second)
	client.Client.ID = "d"
	issuer.Issuer = "https://other.example.com"
	none.Token = token.Token{}
	if cred.grantID() != refreshed.grantID() {
		t.Error("a refresh makes another grant")
	}
	for name, other := range map[string]credential{"another login": again, "another client": client, "another issuer": issuer, "no login": none} {
		if cred.grantID() == other.grantID() {
			t.Errorf("%s: the same grant", name)
		}
	}
	if none.grantID() != "" {
		t.Error("no login has a grant")
	}
}
