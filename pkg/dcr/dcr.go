// Package dcr chooses the OAuth client to use at an authorization server: a pre-registered client, a client ID metadata document, or a
// dynamic registration.
//
//	client, err := dcr.Resolve(ctx, dcr.Options{Issuer: issuer, RegistrationEndpoint: endpoint, RedirectURI: l.RedirectURI()})
//
// The package implements RFC 7591, RFC 7592 §2.3, client ID metadata documents, and MCP authorization 2026-07-28 (Client Registration).
// Software statements (RFC 7591 §2.3), initial access tokens (RFC 7591 §3) and registration updates (RFC 7592 §2.2) are not supported.
package dcr

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// ErrNoClient is returned if there is no pre-registered client, no supported metadata document and no registration endpoint.
var ErrNoClient = errors.New("no OAuth client available")

// ErrDeviation is returned if a registration response deviates from RFC 7591 and Options.Strict is set.
var ErrDeviation = errors.New("rejected by --strict")

// Values of Client.Kind.
const (
	Preregistered    = "preregistered"
	MetadataDocument = "metadata_document"
	Dynamic          = "dynamic"
)

// Secret is a string that package fmt does not print.
type Secret = httpx.Secret

// Client is an OAuth client at one authorization server.
type Client struct {
	ID                string    `json:"id"`
	Secret            Secret    `json:"secret,omitempty"`
	SecretExpiresAt   time.Time `json:"secret_expires_at,omitzero"`   // zero: never
	AuthMethod        string    `json:"auth_method,omitempty"`        // none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth
	Kind              string    `json:"kind,omitempty"`               // Preregistered, MetadataDocument or Dynamic
	Issuer            string    `json:"issuer,omitempty"`             // issuer of the authorization server (MCP, Authorization Server Binding)
	RedirectURI       string    `json:"redirect_uri,omitempty"`       // redirect URI in the registration
	RegistrationURI   string    `json:"registration_uri,omitempty"`   // RFC 7592 §3
	RegistrationToken Secret    `json:"registration_token,omitempty"` // RFC 7592 §3
	Scope             string    `json:"scope,omitempty"`              // scope in the registration
	BoundTokens       bool      `json:"bound_tokens,omitempty"`       // the registration requests tokens that are bound to the client's TLS certificate (RFC 8705 §3.4)
}

// Options configures Choose, Register and Resolve.
type Options struct {
	HTTP  *http.Client // nil: a client that limits connection time, header size and redirects
	Local bool         // the MCP server is on loopback, so the endpoints may be on loopback and use http

	// Metadata of the authorization server.
	Issuer               string
	RegistrationEndpoint string   // empty: none
	AuthMethods          []string // token_endpoint_auth_methods_supported; nil: not announced
	DocumentSupported    bool     // client_id_metadata_document_supported
	BoundTokens          bool     // tls_client_certificate_bound_access_tokens

	// Properties of the client.
	GrantTypes      []string // grant types to register; nil: authorization_code and refresh_token
	RedirectURI     string   // redirect URI to register; empty: the grant types need none
	Scope           string   // scope to register; empty: the registration contains no scope
	ClientName      string   // client_name to register; empty: "mcpauth"
	SoftwareVersion string   // software_version to register; empty: none

	// What the user provides.
	ClientID     string            // pre-registered client; empty: none
	ClientSecret Secret            // empty: none
	HasKey       bool              // the user has a private key for private_key_jwt
	Certificate  *x509.Certificate // TLS client certificate; nil: none
	DocumentURL  string            // URL of the client ID metadata document; empty: none
	Stored       *Client           // registration of an earlier login; nil: none
	New          bool              // register again, even if Stored can be used

	Strict    bool              // every deviation of a registration response is an error
	Deviation func(code string) // called with the code of each tolerated deviation; may be nil
}

// Resolve returns the client that Choose selects. A client with an empty ID is registered first.
func Resolve(ctx context.Context, o Options) (Client, error) {
	c, err := Choose(o)
	if err != nil || c.ID != "" {
		return c, err
	}
	return Register(ctx, o)
}

// Choose selects a client without sending a request. In order of preference, the result is the pre-registered client, the metadata document
// if the server supports it, or the stored registration. If only a new registration is possible, Choose returns a client with an empty ID.
// If no client is available, Choose returns ErrNoClient.
func Choose(o Options) (Client, error) {
	switch {
	case o.ClientID != "":
		return o.owned(o.ClientID, Preregistered), nil
	case o.DocumentURL != "" && o.DocumentSupported:
		if err := CheckDocumentURL(o.DocumentURL); err != nil {
			return Client{}, err
		}
		return o.owned(o.DocumentURL, MetadataDocument), nil
	case o.canReuseStored():
		return *o.Stored, nil
	case o.RegistrationEndpoint != "":
		return Client{Kind: Dynamic, AuthMethod: o.wantedMethod(), Issuer: o.Issuer, RedirectURI: o.RedirectURI, Scope: o.Scope}, nil
	}
	why := "the authorization server has no registration endpoint"
	if o.DocumentURL != "" {
		why += " and does not support client ID metadata documents"
	}
	return Client{}, fmt.Errorf("%s: %w: %s, and no client id was given", o.Issuer, ErrNoClient, why)
}

func (o Options) owned(id, kind string) Client {
	method := AuthMethod(o.AuthMethods, o.ClientSecret != "", o.HasKey)
	if method == "none" && kind == Preregistered {
		method = o.certificateMethod()
	}
	return Client{ID: id, Secret: o.ClientSecret, AuthMethod: method, Kind: kind, Issuer: o.Issuer, RedirectURI: o.RedirectURI}
}

// certificateMethod returns the authentication method of a client that has only a TLS certificate (RFC 8705 §2). If the server supports
// neither tls_client_auth nor self_signed_tls_client_auth, the result is "none". Tokens may be bound to the certificate even with "none"
// (RFC 8705 §4).
func (o Options) certificateMethod() string {
	methods := []string{"tls_client_auth", "self_signed_tls_client_auth"}
	if o.Certificate == nil {
		return "none"
	}
	if o.Certificate.CheckSignatureFrom(o.Certificate) == nil {
		slices.Reverse(methods)
	}
	return firstOf(methods, o.AuthMethods, "none")
}

// requestsBoundTokens reports whether the registration requests tokens that are bound to the certificate (RFC 8705 §3.4).
func (o Options) requestsBoundTokens() bool { return o.BoundTokens && o.Certificate != nil }

// canReuseStored reports whether the stored registration can be used. The registration must come from the same authorization server, have
// the same redirect URI including the port, and cover every requested scope. The client secret must not have expired.
func (o Options) canReuseStored() bool {
	c := o.Stored
	if o.New || c == nil || c.Kind != Dynamic || c.ID == "" || c.Issuer != o.Issuer {
		return false
	}
	if !c.SecretExpiresAt.IsZero() && !time.Now().Before(c.SecretExpiresAt) {
		return false
	}
	return (o.RedirectURI == "" || c.RedirectURI == o.RedirectURI) && coversScope(c.Scope, o.Scope) && c.BoundTokens == o.requestsBoundTokens()
}

// coversScope reports whether a client with the registered scope may request the wanted scope. If the client was registered without a
// scope, it may request any scope.
func coversScope(registered, wanted string) bool {
	if registered == "" {
		return true
	}
	have := map[string]bool{}
	for _, s := range strings.Fields(registered) {
		have[s] = true
	}
	return !slices.ContainsFunc(strings.Fields(wanted), func(s string) bool { return !have[s] })
}

// AuthMethod chooses a client authentication method from the supported methods (RFC 8414 §2). If no method fits, the result is
// private_key_jwt for a client with a key, client_secret_basic for a client with a secret, and none for any other client.
func AuthMethod(supported []string, hasSecret, hasKey bool) string {
	choices := []string{"none"}
	switch {
	case hasKey:
		choices = []string{"private_key_jwt"}
	case hasSecret:
		choices = []string{"client_secret_basic", "client_secret_post"}
	}
	return firstOf(choices, supported, choices[0])
}

// firstOf returns the first method that the server supports, or the fallback if the server supports none of the methods.
func firstOf(methods, supported []string, fallback string) string {
	for _, m := range methods {
		if slices.Contains(supported, m) {
			return m
		}
	}
	return fallback
}
