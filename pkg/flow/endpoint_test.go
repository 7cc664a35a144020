package flow

import (
	"testing"

	"mcpauth/pkg/dcr"
)

func TestOtherMethod(t *testing.T) {
	const basic, post = "client_secret_basic", "client_secret_post"
	for _, tt := range []struct {
		name      string
		client    dcr.Client
		supported []string
		want      string
	}{
		{"both", dcr.Client{Kind: dcr.Preregistered, Secret: "s", AuthMethod: basic}, []string{basic, post}, post},
		{"not told", dcr.Client{Kind: dcr.Preregistered, Secret: "s", AuthMethod: basic}, nil, post},
		{"back", dcr.Client{Kind: dcr.Preregistered, Secret: "s", AuthMethod: post}, []string{basic, post}, basic},
		{"the server knows one", dcr.Client{Kind: dcr.Preregistered, Secret: "s", AuthMethod: basic}, []string{basic}, ""},
		{"a registration knows its method", dcr.Client{Kind: dcr.Dynamic, Secret: "s", AuthMethod: basic}, []string{basic, post}, ""},
		{"a registration whose metadata says nothing", dcr.Client{Kind: dcr.Dynamic, Secret: "s", AuthMethod: post}, nil, basic},
		{"a registration by its word", dcr.Client{Kind: dcr.Dynamic, Secret: "s", AuthMethod: post}, []string{basic, post}, ""},
		{"a registration with a secret that it was not to use", dcr.Client{Kind: dcr.Dynamic, Secret: "s", AuthMethod: "none"}, nil, basic},
		{"a key", dcr.Client{Kind: dcr.Preregistered, AuthMethod: "private_key_jwt"}, []string{basic, post}, ""},
		{"public", dcr.Client{Kind: dcr.Preregistered, AuthMethod: "none"}, nil, ""},
	} {
		if got := otherMethod(tt.client, tt.supported); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
