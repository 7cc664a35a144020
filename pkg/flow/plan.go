// This file decides what a login does, from what discovery found and before anybody is asked for anything. Login acts upon the decision;
// Discover (discover.go) shows it.

package flow

import (
	"fmt"
	"slices"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

// Plan is what a login would do.
type Plan struct {
	Grant      string   `json:"grant"`
	Issuer     string   `json:"issuer"`
	Resource   string   `json:"resource"`    // of the resource parameter; empty: not sent
	Scopes     []string `json:"scopes"`      // empty: the choice is the server's
	Client     string   `json:"client"`      // dcr.Preregistered, dcr.MetadataDocument or dcr.Dynamic; empty: none there to be
	ClientID   string   `json:"client_id"`   // empty: not known before it is registered
	AuthMethod string   `json:"auth_method"` // at the token endpoint
	DPoP       bool     `json:"dpop"`        // tokens are bound to a key
	Quirks     []string `json:"quirks"`      // codes of Tolerances
}

// newPlan decides all that cannot fail.
func newPlan(t Target, o LoginOptions, r *discovery.Result) Plan {
	p := Plan{Grant: t.grant(), Issuer: r.Server.Issuer, Resource: r.ResourceID, Quirks: quirks(o, r)}
	if o.Resource != "" {
		p.Resource = o.Resource
	}
	if o.NoResource {
		p.Resource = ""
	}
	p.Scopes = chooseScopes(t.Scopes, r.Challenge.Scope(), r.Resource.ScopesSupported, r.Server.ScopesSupported)
	if len(o.stepUp) > 0 {
		p.Scopes = union(o.stepUp, p.Scopes)
	}
	return p
}

// feasible refuses what the authorization server does not offer.
func feasible(t Target, r *discovery.Result) error {
	s := r.Server
	switch {
	case t.grant() == GrantDevice && s.DeviceAuthorizationEndpoint == "":
		return stage("device authorization", fmt.Errorf("%w: the metadata of %s names no device_authorization_endpoint (RFC 8628 §4)", ErrUnsupported, s.Issuer))
	case t.grant() == GrantCode && s.RequirePushedAuthorizationRequests:
		return stage("authorization", fmt.Errorf("%w without pushed authorization requests, which mcpauth cannot do: require_pushed_authorization_requests of %s is true (RFC 9126 §5)",
			ErrUnsupported, s.Issuer))
	}
	_, err := useDPoP(t, r)
	return err
}

// useDPoP decides by the user's choice and the metadata: auto binds tokens where the resource requires it (RFC 9728 §2,
// dpop_bound_access_tokens_required) or its challenge asks for the DPoP scheme, and the authorization server offers ES256.
func useDPoP(t Target, r *discovery.Result) (bool, error) {
	offered := slices.Contains(r.Server.DPoPSigningAlgValuesSupported, "ES256")
	required := r.Resource.DPoPBoundAccessTokensRequired || r.Challenge.Scheme == "dpop"
	switch t.DPoP {
	case "never":
		return false, nil
	case "always":
		if !offered {
			return false, fmt.Errorf("DPoP: %w: dpop_signing_alg_values_supported of %s lacks ES256 (RFC 9449 §5.1)", ErrUnsupported, r.Server.Issuer)
		}
		return true, nil
	case "", "auto":
		return offered && required, nil
	}
	return false, fmt.Errorf("%w: dpop is auto, always or never, not %q", ErrOptions, t.DPoP)
}

// needsClient reports whether a login needs a client before it asks for tokens: a machine's assertion may be all that its server wants.
func needsClient(t Target) bool {
	return !machine(t.grant()) || t.ClientID != "" || t.ClientMetadataURL != ""
}

// clientOptions asks package dcr for the client of a login. The HTTP client, the stored registration and the redirect address are left to
// the caller.
func clientOptions(t Target, o LoginOptions, r *discovery.Result, scopes []string) dcr.Options {
	s := r.Server
	return dcr.Options{Local: t.local(), Issuer: s.Issuer, RegistrationEndpoint: s.RegistrationEndpoint,
		AuthMethods: s.TokenEndpointAuthMethodsSupported, DocumentSupported: s.ClientIDMetadataDocumentSupported, GrantTypes: grantTypes(t.grant()),
		Scope: joinScopes(registerScopes(scopes, r)), ClientName: o.ClientName, ClientID: t.ClientID, ClientSecret: t.ClientSecret,
		HasKey: t.ClientKeyFile != "", DocumentURL: t.ClientMetadataURL, New: o.NewClient, Strict: o.Strict}
}

// registerScopes is what a registration names: a client registered for less than the resource offers could not step up later.
func registerScopes(asked []string, r *discovery.Result) []string {
	if len(asked) == 0 {
		return nil
	}
	return union(asked, r.Resource.ScopesSupported)
}

// grantTypes are the grant types a registration names (RFC 7591 §2).
func grantTypes(grant string) []string {
	if grant == GrantDevice {
		return []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"}
	}
	return []string{"authorization_code", "refresh_token"}
}
