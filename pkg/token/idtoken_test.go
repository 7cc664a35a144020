package token

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestIDToken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	first := IDToken{Issuer: "https://idp.example", ClientID: "c", Nonce: "n"}
	later := first
	later.Subject = "u"
	for _, tt := range []struct {
		name, claims string
		want         IDToken
		ok           bool
	}{
		{"as it should be", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"n","exp":1000300}`, first, true},
		{"two audiences", `{"iss":"https://idp.example","aud":["c","d"],"azp":"c","sub":"u","nonce":"n","exp":1000300}`, first, true},
		{"clocks differ", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"n","exp":999990}`, first, true},
		{"of a refresh", `{"iss":"https://idp.example","aud":"c","sub":"u","exp":1000300}`, later, true},
		{"of a refresh, with the nonce", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"n","exp":1000300}`, later, true},
		{"§3.1.3.7 point 2: iss", `{"iss":"https://idp.example/","aud":"c","sub":"u","nonce":"n","exp":1000300}`, first, false},
		{"§2: sub", `{"iss":"https://idp.example","aud":"c","sub":"` + strings.Repeat("u", 256) + `","nonce":"n","exp":1000300}`, first, false},
		{"point 3: aud", `{"iss":"https://idp.example","aud":"d","sub":"u","nonce":"n","exp":1000300}`, first, false},
		{"point 3: no aud", `{"iss":"https://idp.example","sub":"u","nonce":"n","exp":1000300}`, first, false},
		{"point 4: two audiences without azp", `{"iss":"https://idp.example","aud":["c","d"],"sub":"u","nonce":"n","exp":1000300}`, first, false},
		{"point 5: azp", `{"iss":"https://idp.example","aud":"c","azp":"d","sub":"u","nonce":"n","exp":1000300}`, first, false},
		{"point 9: exp", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"n","exp":999000}`, first, false},
		{"point 9: no exp", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"n"}`, first, false},
		{"point 11: nonce", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"m","exp":1000300}`, first, false},
		{"point 11: no nonce", `{"iss":"https://idp.example","aud":"c","sub":"u","exp":1000300}`, first, false},
		{"§2: no sub", `{"iss":"https://idp.example","aud":"c","nonce":"n","exp":1000300}`, first, false},
		{"§12.2: another sub", `{"iss":"https://idp.example","aud":"c","sub":"v","exp":1000300}`, later, false},
		{"§12.2: another nonce", `{"iss":"https://idp.example","aud":"c","sub":"u","nonce":"m","exp":1000300}`, later, false},
		{"not JSON", `x`, first, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			part := base64.RawURLEncoding.EncodeToString
			subject, err := tt.want.Check(part([]byte(`{"alg":"RS256"}`))+"."+part([]byte(tt.claims))+".c2ln", now)
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrIDToken) || tt.ok && subject != "u" {
				t.Errorf("got %q, %v", subject, err)
			}
		})
	}
	if _, err := first.Check("", now); !errors.Is(err, ErrIDToken) {
		t.Errorf("no ID token: %v", err)
	}
}
