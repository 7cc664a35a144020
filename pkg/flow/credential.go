package flow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// credentialVersion is the version of the record format. A record with a higher version is refused, because it could be misread.
const credentialVersion = 1

// A credential is the stored result of a login at one MCP server. The keystore stores a credential as opaque bytes. Fields that a newer
// version of mcpauth wrote are preserved.
type credential struct {
	Version  int    `json:"version"`
	Server   string `json:"server"`
	Moved    string `json:"moved,omitempty"` // URL to which Server redirects the calls, on the same origin; empty: none
	Profile  string `json:"profile,omitempty"`
	Resource string `json:"resource,omitempty"` // sent with every token request (RFC 8707); empty: not sent
	Grant    Grant  `json:"grant,omitempty"`

	Issuer    string          `json:"issuer,omitempty"` // Endpoints, Client and Token belong to this issuer
	Endpoints storedEndpoints `json:"endpoints,omitzero"`

	AcceptedIssuer string `json:"accepted_issuer,omitempty"` // issuer that the user accepted at a login, see LoginOptions.AcceptNewIssuer; empty: none

	Client     dcr.Client   `json:"client,omitzero"`
	NextClient *dcr.Client  `json:"next_client,omitempty"` // client that an unfinished login registered; the next login uses it
	OldClients []dcr.Client `json:"old_clients,omitempty"` // registrations that pending logins may still use, newest first; a later login or Logout deletes them
	Settings   Settings     `json:"settings,omitzero"`     // the user's settings for this login

	Token      token.Token       `json:"token,omitzero"`
	Retired    []retiredToken    `json:"retired,omitempty"` // tokens of replaced grants, newest first; Logout revokes them
	Refusal    *storedRefusal    `json:"refusal,omitempty"` // refusal of the refresh token; nil: none
	Scopes     []string          `json:"scopes_asked,omitempty"`
	Account    string            `json:"account,omitempty"`     // account of the login, see token.Token.Account
	ObtainedAt time.Time         `json:"obtained_at,omitzero"`  // when Token was obtained
	LoginAt    time.Time         `json:"login_at,omitzero"`     // start of the login that obtained this grant
	DPoPKey    json.RawMessage   `json:"dpop_key,omitempty"`    // private JWK to which the tokens are bound; nil: bearer tokens
	DPoPNonces map[string]string `json:"dpop_nonces,omitempty"` // latest DPoP nonce of each origin
	Deviations []string          `json:"quirks,omitempty"`      // codes of the tolerated deviations, see docs/quirks.md

	IDP     *credential    `json:"idp_login,omitempty"`      // login at the identity provider that renews this login; nil: none
	NextIDP *credential    `json:"next_idp_login,omitempty"` // login at the identity provider that an unfinished login made; the next login or Logout revokes it
	OpenID  *idTokenClaims `json:"openid,omitempty"`         // claims of the ID token; only for a login at an identity provider
	Suspect bool           `json:"suspect,omitempty"`        // the newest ID token of an identity provider was refused, so Token may belong to another user

	idToken    Secret // ID token in the latest response of an identity provider; never stored
	generation uint64 // generation of the stored record
	read       []byte // the record as UnmarshalJSON read it; MarshalJSON preserves the unknown fields in it
}

// storedEndpoints are the endpoints for a refresh. With stored endpoints, a refresh needs only one request.
type storedEndpoints struct {
	Token      string `json:"token,omitempty"`
	Revocation string `json:"revocation,omitempty"`

	SigningAlgs []string `json:"signing_algs,omitempty"` // signing algorithms for client assertions at the token endpoint (RFC 8414 §2); empty: unknown
}

func endpoints(s discovery.ServerMetadata) storedEndpoints {
	return storedEndpoints{Token: s.TokenEndpoint, Revocation: s.RevocationEndpoint, SigningAlgs: s.TokenEndpointAuthSigningAlgValuesSupported}
}

// retiredToken is a token of a replaced grant for the same client at the same authorization server. Logout revokes retired tokens. A login
// does not revoke the old token, because many servers would then end the new login of the same client and user too.
type retiredToken struct {
	Token Secret `json:"token"`
	Hint  string `json:"hint"` // "refresh_token", or "access_token" if there was no refresh token
}

// storedRefusal describes how the server refused the refresh token, so that later commands can give the reason. If the grant is still valid,
// the refresh token stays stored, but only Client.Refresh sends it again.
type storedRefusal struct {
	Words       string `json:"words"`
	Client      bool   `json:"client,omitempty"`      // the server refused the client
	Interrupted string `json:"interrupted,omitempty"` // the earlier refresh that was interrupted and may have used up the token; empty: none
}

func refusalOf(err error) *storedRefusal {
	return &storedRefusal{Words: httpx.Text(err.Error(), 500), Client: isClientRefused(err)}
}

func (r storedRefusal) err(t Target) error {
	return fmt.Errorf("%s: %w: %s", t.URL, r.kind(), r.Words)
}

func (r storedRefusal) kind() error {
	switch {
	case r.Client:
		return ErrClientRejected
	case r.Interrupted != "":
		return fmt.Errorf("%w (%s)", ErrMaybeSpent, r.Interrupted)
	}
	return ErrGrantRejected
}

const (
	maxRetired    = 3  // maximum number of stored tokens of replaced grants
	maxOldClients = 20 // maximum number of stored registrations of pending logins
)

// String describes the credential without its secrets.
func (c credential) String() string {
	return fmt.Sprintf("credential of %q at %s, generation %d", c.Profile, c.Server, c.generation)
}

// GoString returns String.
func (c credential) GoString() string { return c.String() }

// plainCredential is a credential without its methods, for encoding.
type plainCredential credential

// UnmarshalJSON reads a record, in the present form or in that of earlier versions. One struct has the fields of both forms, so that
// encoding/json reads the record once.
func (c *credential) UnmarshalJSON(data []byte) error {
	record := struct {
		*plainCredential
		legacySettings
	}{plainCredential: (*plainCredential)(c)}
	if err := json.Unmarshal(data, &record); err != nil {
		return err
	}
	if reflect.ValueOf(c.Settings).IsZero() {
		c.Settings = record.toSettings(*c)
	}
	c.read = slices.Clone(data)
	return nil
}

// MarshalJSON writes the fields of credential and the unknown fields of the record that UnmarshalJSON read.
func (c credential) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(plainCredential(c))
	all := c.unknown()
	if err != nil || len(all) == 0 {
		return data, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// unknown returns the unknown fields of the record that UnmarshalJSON read.
func (c credential) unknown() (all map[string]json.RawMessage) {
	_ = json.Unmarshal(c.read, &all) // an error means that no record was read
	known := append(jsonNames(plainCredential{}), jsonNames(legacySettings{})...)
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return slices.Contains(known, name) })
	return all
}

// jsonNames returns the JSON names of the fields of a struct.
func jsonNames(v any) []string {
	var names []string
	for t, i := reflect.TypeOf(v), 0; i < t.NumField(); i++ {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func decode(r keystore.Record) (credential, error) {
	var c credential
	if err := c.UnmarshalJSON(r.Secret); err != nil { // UnmarshalJSON is called directly, because json.Unmarshal would check the syntax a second time
		// The error omits the text of the JSON error, which may quote bytes of the record.
		return credential{}, fmt.Errorf("%w: not a record of mcpauth", ErrCredential)
	}
	if c.Version > credentialVersion {
		return credential{}, fmt.Errorf("%w: written by a newer mcpauth (record version %d, this one reads %d)", ErrCredential, c.Version, credentialVersion)
	}
	c.setGeneration(r.Generation)
	return c, nil
}

func (c credential) record() (keystore.Record, error) {
	c.Version = credentialVersion
	secret, err := json.Marshal(c)
	if err != nil {
		return keystore.Record{}, err
	}
	pub, err := json.Marshal(c.publicRecord())
	if err != nil {
		return keystore.Record{}, err
	}
	return keystore.Record{Generation: c.generation, Secret: secret, Public: pub}, nil
}

func (c credential) hasToken() bool { return c.Token.AccessToken != "" }

// hasOwnName reports whether a login is stored whose name does not come from an untrusted project's file.
func (c credential) hasOwnName() bool { return c.Grant != "" && !c.Settings.NameOfProject }

// isRenewable reports whether the credential can be renewed without a browser.
func (c credential) isRenewable() bool {
	login := c.renewingLogin()
	return login.Token.RefreshToken != "" && login.Refusal == nil || c.Grant.nonInteractive() && c.Settings.IDP.Issuer == ""
}

// grantedScopes returns the scopes of the token. If the server named no scopes, these are the requested scopes (RFC 6749 §5.1).
func (c credential) grantedScopes() []string {
	if c.Token.ScopeGiven {
		return splitScope(c.Token.Scope)
	}
	return c.Scopes
}

func (c credential) same(accessToken Secret) bool { return c.Token.AccessToken == accessToken }

// replacedTokens returns the tokens of the grants that c replaces, newest first. The caller must store the tokens in toStore, because
// revoking them now could end the new grant. The tokens in toRevoke belong to another client or another authorization server, so revoking
// them cannot end the new grant.
func (c credential) replacedTokens(old credential) (toStore, toRevoke []retiredToken) {
	all := old.Retired
	switch t := old.Token; {
	case t.RefreshToken != "" && t.RefreshToken != c.Token.RefreshToken:
		all = append([]retiredToken{{t.RefreshToken, "refresh_token"}}, all...)
	case t.RefreshToken == "" && t.AccessToken != "" && !c.same(t.AccessToken) && !old.Grant.nonInteractive():
		all = append([]retiredToken{{t.AccessToken, "access_token"}}, all...)
	}
	if old.Issuer != c.Issuer || old.Client.ID != c.Client.ID {
		return nil, all
	}
	return all[:min(len(all), maxRetired)], nil
}

// target describes the server and the settings of a stored login.
func (c credential) target() Target {
	return Target{URL: c.Server, Profile: c.Profile, Settings: c.Settings}
}

// isIssuerNamed reports whether the user named or accepted the issuer. A renewal depends on this as much as a login.
func (c credential) isIssuerNamed() bool {
	return c.Settings.namesIssuer(c.Issuer) || c.AcceptedIssuer != "" && discovery.SameIssuer(c.AcceptedIssuer, c.Issuer)
}

// effectiveSettings returns the settings with which a new login would equal the stored one: the user's settings and, where the user has
// none, what the login used.
func (c credential) effectiveSettings() Settings {
	s := c.Settings
	if c.Client.Kind == dcr.MetadataDocument {
		s.ClientMetadataURL = cmp.Or(s.ClientMetadataURL, c.Client.ID)
	} else {
		s.ClientID = cmp.Or(s.ClientID, c.Client.ID)
	}
	if u, err := url.Parse(c.Client.RedirectURI); err == nil {
		port, _ := strconv.Atoi(u.Port())
		s.CallbackHost, s.CallbackPort = cmp.Or(s.CallbackHost, u.Hostname()), cmp.Or(s.CallbackPort, port)
	}
	if c.DPoPKey != nil {
		s.DPoP = cmp.Or(s.DPoP, DPoPAlways)
	}
	s.Grant, s.Issuer, s.DPoP, s.Scopes = c.Grant, cmp.Or(s.Issuer, c.Issuer), cmp.Or(s.DPoP, DPoPAuto), mergeLists(s.Scopes, c.Scopes, c.grantedScopes())
	return s
}

// addRegistration adds a new client registration, which the next login uses.
func (c *credential) addRegistration(client dcr.Client) {
	if c.NextClient != nil {
		c.OldClients = slices.Insert(c.OldClients, 0, *c.NextClient)
		c.OldClients = c.OldClients[:min(len(c.OldClients), maxOldClients)]
	}
	c.NextClient = &client
}

// loadCredential returns the stored credential, or ErrLoginRequired if there is none. loadCredential returns any other error of Store.Get
// unchanged.
func (c *Client) loadCredential(ctx context.Context, t Target) (credential, error) {
	r, err := c.Store.Get(ctx, t.key())
	if errors.Is(err, keystore.ErrNotFound) {
		return credential{}, fmt.Errorf("%s: %w", t.URL, ErrLoginRequired)
	}
	if err != nil {
		return credential{}, err
	}
	cred, err := decode(r)
	c.learnSecrets(t, cred)
	if err == nil && t.Check != nil && cred.Grant != "" { // without a grant, the record contains no login, but at most a client registration
		err = t.Check(t, cred.effectiveSettings())
	}
	if t.CertFile != "" {
		cred.Settings.CertFile, cred.Settings.CertKeyFile = absolutePath(t.CertFile), absolutePath(t.CertKeyFile) // a renewal binds its tokens to this certificate
	}
	return cred, err
}

// loadOrNew returns the stored credential, or a new credential without a login.
func (c *Client) loadOrNew(ctx context.Context, t Target) (credential, error) {
	cred, err := c.loadCredential(ctx, t)
	if errors.Is(err, ErrLoginRequired) {
		return credential{Server: t.URL, Profile: t.Profile}, nil
	}
	return cred, err
}

// CheckStored calls t.Check for the stored login. If there is no login, the result is nil.
func (c *Client) CheckStored(ctx context.Context, t Target) error {
	if t.Check == nil {
		return nil
	}
	_, err := c.loadOrNew(ctx, t)
	return err
}

// saveCredential stores the credential as the next generation. The caller must have locked the credential.
func (c *Client) saveCredential(ctx context.Context, t Target, cred *credential) error {
	c.learnSecrets(t, *cred)
	if cred.DPoPKey != nil {
		if prover, err := c.provers.of(*cred); err == nil {
			cred.DPoPNonces = prover.Nonces()
		}
	}
	r, err := cred.record()
	if err != nil {
		return err
	}
	r, err = c.Store.Put(ctx, t.key(), r)
	if err != nil {
		return err
	}
	cred.setGeneration(r.Generation)
	return nil
}

func (c *credential) setGeneration(generation uint64) {
	c.generation = generation
	if c.IDP != nil {
		c.IDP.generation = generation
	}
}

// updateCredential locks the stored credential and changes it.
func (c *Client) updateCredential(ctx context.Context, t Target, change func(*credential)) (credential, error) {
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockCredential)
	if err != nil {
		return credential{}, err
	}
	defer unlock()
	cred, err := c.loadOrNew(ctx, t)
	if err != nil {
		return credential{}, err
	}
	change(&cred)
	return cred, c.saveCredential(ctx, t, &cred)
}
