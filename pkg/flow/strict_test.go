package flow

import (
	"errors"
	"slices"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// If a login was strict, its renewals and later logins are strict as well, until the user allows a deviation. A strict renewal that fails
// because of a deviation loses no token. A login that is not strict records the deviation.
func TestStrictIsKept(t *testing.T) {
	b := newBench(t, demo.Options{})
	for _, strict := range []bool{false, true} {
		b.set(t, "clear")
		b.t.Strict = strict
		if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		b.set(t, "token:status=201,n=1")
		if _, err := b.c.Refresh(ctx, b.t, 0); errors.Is(err, token.ErrMalformed) != strict || err != nil && !strict {
			t.Errorf("strict: %t: an answer 201 to a renewal: %v", strict, err)
		}
		s, err := b.c.Status(ctx, b.t)
		if err != nil || s.State != StateValid || slices.Contains(s.Deviations, "token_status") == strict {
			t.Errorf("strict: %t: afterwards %v, quirks %q, %v", strict, s.State, s.Deviations, err)
		}
	}
	b.t.Strict = false
	b.set(t, "clear")
	b.set(t, "challenge=none")
	var refused *discovery.Error
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.As(err, &refused) {
		t.Errorf("a later login: %v", err)
	}
	b.t.Resource = b.URL()
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err != nil {
		t.Error(err)
	}
	if b.stored(t).Settings.Strict {
		t.Error("the login is strict after a concession")
	}
}

// A later login and a step-up use the authorization server that the user chose.
func TestIssuerIsKept(t *testing.T) {
	b := newBench(t, demo.Options{})
	other := newBench(t, demo.Options{})
	b.set(t, `resource-metadata:set.authorization_servers=["`+other.Issuer()+`","`+b.Issuer()+`"]`)
	bare := b.t
	b.t.Issuer = b.Issuer()
	b.login(t)
	b.t = bare
	if s := b.login(t); s.Issuer != b.Issuer() {
		t.Errorf("the later login is at %s", s.Issuer)
	}
	b.counts(t, map[string]int{"registered": 1})
}
