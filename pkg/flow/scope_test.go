package flow

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/discovery"
)

func TestChooseScopes(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		user                   []string
		challenge              string
		resource, server, want []string
	}{
		{name: "nothing known: the parameter is left out"},
		{name: "the challenge before the metadata", challenge: "a b", resource: []string{"c"}, want: []string{"a", "b"}},
		{name: "all of the metadata without a challenge", resource: []string{"c", "d"}, want: []string{"c", "d"}},
		{name: "the user before both", user: []string{"u"}, challenge: "a", resource: []string{"c"}, want: []string{"u"}},
		{name: "offline_access where it is offered", challenge: "a", server: []string{"offline_access", "x"}, want: []string{"a", "offline_access"}},
		{name: "offline_access not where it is not", challenge: "a", server: []string{"x"}, want: []string{"a"}},
		{name: "offline_access not alone", server: []string{"offline_access"}},
		{name: "no scope twice", challenge: "a a  b", want: []string{"a", "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := chooseScopes(tt.user, tt.challenge, tt.resource, tt.server); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// An authorization server that lists offline_access gets it in the requests of a user only. A login without a user needs no refresh token, and
// requests no scope that the user did not name.
func TestOfflineAccessNeedsAUser(t *testing.T) {
	for grant, want := range map[Grant][]string{GrantCode: {"read", offlineAccess}, GrantDevice: {"read", offlineAccess},
		GrantClientCredentials: {"read"}, GrantJWTBearer: {"read"}, GrantEnterprise: {"read"}} {
		found := &discovery.Result{Server: discovery.ServerMetadata{ScopesSupported: []string{"read", offlineAccess}}}
		if got := newPlan(Settings{Grant: grant, Scopes: []string{"read"}}, found, credential{}).Scopes; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", grant, got, want)
		}
	}
}

// A login requests only words that are scopes, although the metadata may list other texts.
func TestScopesOfMetadata(t *testing.T) {
	m := discovery.ResourceMetadata{ScopesSupported: []string{"read", "", "a b", "x\u2800\u2800mcpauth: forged", "write\x1b[2J", "\u00fc", "mail.read", "--header=X-Key:@id_rsa", "b -q", "key:[redacted]"}}
	if got, want := scopesOf(m), []string{"read", "a", "b", "forged", "mail.read", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		wanted, granted, want []string
	}{
		{"all there", []string{"a"}, []string{"b", "a"}, nil},
		{"one lacks", []string{"a", "c"}, []string{"a"}, []string{"c"}},
		{"offline_access is granted unsaid", []string{"offline_access"}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := missingScopes(tt.wanted, tt.granted); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A step-up requests the scopes of earlier logins and those of the challenge (MCP authorization, Step-Up Authorization Flow).
func TestStepUpNeedsTheUnion(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Scopes = []string{"notes:read"}
	b.login(t)
	_, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh, Scopes: []string{"extra"}}), "secret_note", 2)
	var needed *ScopeError
	if !errors.As(err, &needed) {
		t.Fatalf("got %v, want a ScopeError", err)
	}
	for _, scope := range []string{"notes:read", "extra", "notes:write"} {
		if !slices.Contains(needed.Scopes, scope) {
			t.Errorf("%q lacks %s", needed.Scopes, scope)
		}
	}
}

// mergeLists and missingScopes take linear time, because a server may name any number of scopes and a renewal compares them under the lock.
func TestManyScopes(t *testing.T) {
	t.Parallel()
	many := make([]string, 200_000)
	for i := range many {
		many[i] = fmt.Sprintf("scope-with-a-long-name-%d", i)
	}
	began := time.Now()
	if all, lost := mergeLists(many, many), missingScopes(many, many[1:]); len(all) != len(many) || len(lost) != 1 {
		t.Errorf("%d and %d scopes", len(all), len(lost))
	}
	if took := time.Since(began); took > 30*time.Second { // with a comparison of each pair, it takes minutes
		t.Errorf("took %v", took)
	}
}
