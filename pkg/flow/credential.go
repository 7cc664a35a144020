// This file is the credential: everything that belongs to one login at one server, made of the leaves' own types. The keystore sees it
// as opaque bytes. Fields that a newer version wrote are kept when an older one writes the record again.

package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// credentialVersion is written into each record; a record of a higher version is refused rather than misread.
const credentialVersion = 1

// Credential is one login at one server.
type Credential struct {
	Version  int    `json:"version"`
	Server   string `json:"server"`
	Profile  string `json:"profile,omitempty"`
	Resource string `json:"resource,omitempty"` // sent as RFC 8707 says with every token request; empty: not sent
	Grant    string `json:"grant,omitempty"`

	Issuer    string    `json:"issuer,omitempty"` // what follows is bound to it
	Endpoints Endpoints `json:"endpoints,omitzero"`

	Client     dcr.Client  `json:"client,omitzero"`
	NextClient *dcr.Client `json:"next_client,omitempty"` // registered by a login that did not finish: used by the next one
	KeyFile    string      `json:"client_key_file,omitempty"`
	Assertion  string      `json:"assertion_file,omitempty"`
	IDP        IDP         `json:"idp,omitzero"`

	Token      token.Token     `json:"token,omitzero"`
	Scopes     []string        `json:"scopes_asked,omitempty"`
	ObtainedAt time.Time       `json:"obtained_at,omitzero"`  // of the token
	LoginAt    time.Time       `json:"login_at,omitzero"`     // when the login began that this grant comes from
	DPoPKey    json.RawMessage `json:"dpop_key,omitempty"`    // private JWK that the tokens are bound to
	Quirks     []string        `json:"quirks,omitempty"`      // codes of Tolerances that were applied
	AuthParams [][2]string     `json:"auth_params,omitempty"` // added to the authorization request by the user, for the next one
	IssuerPin  string          `json:"issuer_pin,omitempty"`  // the authorization server that the user picked, for the next login
	Strict     bool            `json:"strict,omitempty"`      // renewals and later logins put up with no deviation

	generation uint64 // of the record it was read from
	unknown    map[string]json.RawMessage
}

// Endpoints are the authorization server's addresses, remembered so that a refresh is one request.
type Endpoints struct {
	Token      string `json:"token,omitempty"`
	Revocation string `json:"revocation,omitempty"`

	SigningAlgs []string `json:"signing_algs,omitempty"` // of client assertions that the token endpoint takes (RFC 8414 §2); empty: unknown
}

// String names the credential without its secrets.
func (c Credential) String() string {
	return fmt.Sprintf("credential of %q at %s, generation %d", c.Profile, c.Server, c.generation)
}

// GoString is String: a credential does not print its secrets.
func (c Credential) GoString() string { return c.String() }

// plain is Credential without its methods, for encoding.
type plain Credential

// UnmarshalJSON reads a record and keeps the fields it does not know.
func (c *Credential) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*plain)(c)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &c.unknown); err != nil {
		return err
	}
	known, err := fields(plain(*c), true)
	if err != nil {
		return err
	}
	maps.DeleteFunc(c.unknown, func(name string, _ json.RawMessage) bool { return known[name] != nil })
	return nil
}

// MarshalJSON writes the known fields and those that were kept.
func (c Credential) MarshalJSON() ([]byte, error) {
	all, err := fields(plain(c), false)
	if err != nil {
		return nil, err
	}
	for name, v := range c.unknown {
		if _, ok := all[name]; !ok {
			all[name] = v
		}
	}
	return json.Marshal(all)
}

// fields returns the members of a record. With every set, those that are left out when empty are there as well.
func fields(p plain, every bool) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	if every {
		for _, name := range optionalFields {
			all[name] = json.RawMessage("null")
		}
	}
	return all, nil
}

// optionalFields are the members that Credential leaves out when they are empty; a test compares them with the struct.
var optionalFields = []string{"profile", "resource", "grant", "issuer", "endpoints", "client", "next_client", "client_key_file", "assertion_file",
	"idp", "token", "scopes_asked", "obtained_at", "login_at", "dpop_key", "quirks", "auth_params", "issuer_pin", "strict"}

// decode reads a stored record.
func decode(r keystore.Record) (Credential, error) {
	var c Credential
	if err := json.Unmarshal(r.Secret, &c); err != nil {
		// The JSON error may quote bytes of the record, so it stays here.
		return Credential{}, fmt.Errorf("%w: not a record of mcpauth", ErrCredential)
	}
	if c.Version > credentialVersion {
		return Credential{}, fmt.Errorf("%w: written by a newer mcpauth (record version %d, this one reads %d)", ErrCredential, c.Version, credentialVersion)
	}
	c.generation = r.Generation
	return c, nil
}

// record prepares a credential for the store.
func (c Credential) record() (keystore.Record, error) {
	c.Version = credentialVersion
	secret, err := json.Marshal(c)
	if err != nil {
		return keystore.Record{}, err
	}
	pub, err := json.Marshal(c.public())
	if err != nil {
		return keystore.Record{}, err
	}
	return keystore.Record{Generation: c.generation, Secret: secret, Public: pub}, nil
}

// public returns what may be read without the keychain.
func (c Credential) public() public {
	p := public{Name: c.Profile, Resource: c.Resource, Issuer: c.Issuer, HasToken: c.hasToken(), Grant: c.Grant, ClientID: c.Client.ID,
		Registration: c.Client.Kind, Quirks: c.Quirks, Strict: c.Strict}
	if c.hasToken() {
		p.Expiry, p.TokenType, p.ObtainedAt, p.Scopes = c.Token.Expiry, c.Token.TokenType, c.ObtainedAt, c.granted()
		p.Refreshable, p.Asked = c.renewable(), c.Scopes
	}
	return p
}

func (c Credential) hasToken() bool { return c.Token.AccessToken != "" }

// renewable reports whether the credential can be renewed without a browser.
func (c Credential) renewable() bool { return c.Token.RefreshToken != "" || machine(c.Grant) }

// granted returns the scopes the token has: those that the server named, else those that were asked for (RFC 6749 §5.1).
func (c Credential) granted() []string {
	if c.Token.ScopeGiven {
		return splitScope(c.Token.Scope)
	}
	return c.Scopes
}

// same reports whether both are the same token of the same grant.
func (c Credential) same(accessToken string) bool { return c.Token.AccessToken == accessToken }
