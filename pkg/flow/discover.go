package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

// Discovery is the result of Client.Discover. The JSON form of Discovery is stable.
type Discovery struct {
	URL        string                    `json:"url"`
	Endpoint   string                    `json:"endpoint"`             // URL that receives the calls: URL itself or its redirect target on the same origin; empty: URL did not answer
	Connection *discovery.Connection     `json:"connection"`           // nil: no request was sent
	Open       bool                      `json:"open"`                 // true: the server answered a request that had no token
	Attempts   []Attempt                 `json:"attempts"`             // every request, in order
	Checks     []discovery.Check         `json:"checks"`               // result of each rule that discovery checked, in the order of the checks
	Server     *discovery.ServerMetadata `json:"authorization_server"` // nil: discovery ended before this result was known
	Grants     []Grant                   `json:"grants"`               // grants that mcpauth supports and the authorization server offers
	Plan       *Plan                     `json:"login"`                // nil: discovery ended before this result was known
}

// Attempt is one request of a discovery.
type Attempt struct {
	discovery.Attempt
	Meaning string `json:"meaning"`
}

// Discover runs the discovery of Login and returns what Login would do, but registers and stores nothing. Like Login, Discover uses the
// stored credential. If there is no Store or the credential cannot be read, Discover describes a first login. The error is the one that
// Login would return before it opens the browser. If there is an error, the Discovery contains the results so far.
func (c *Client) Discover(ctx context.Context, t Target, o LoginOptions) (Discovery, error) {
	var old credential
	if c.Store != nil {
		var err error
		if old, err = c.loadOrNew(ctx, t); err != nil {
			c.warn(fmt.Sprintf("the stored credential cannot be read, so this describes a first login: %v", err))
		}
		t.Settings = o.mergeSettings(old, t.Settings, loginReason{})
	}
	found, err := c.runDiscovery(ctx, t, old.Issuer, nil)
	d := Discovery{URL: t.URL, Attempts: []Attempt{}, Checks: []discovery.Check{}, Grants: []Grant{}}
	if found == nil {
		return d, err
	}
	d.Endpoint, d.Connection = found.Endpoint, found.Connection
	d.Open, d.Checks = found.Open, discovery.Review(found, err)
	for _, a := range found.Attempts {
		d.Attempts = append(d.Attempts, Attempt{a, found.Meaning(a)})
	}
	if err != nil {
		return d, err
	}
	d.Server, d.Grants = &found.Server, offeredGrants(found.Server)
	p := newPlan(t.Settings, found, old)
	err = p.addRedirectAndClient(loginDraft{t: t, o: o, old: old, found: found, plan: p})
	d.Plan = &p
	return d, err
}

// addRedirectAndClient adds the redirect URI and the client to the plan. The result is an error if the server lacks a needed feature, or if
// no client is available.
func (p *Plan) addRedirectAndClient(d loginDraft) error {
	err := errors.Join(checkFeasible(d.t.Settings, d.found), checkSameIssuer(d))
	if p.Grant == GrantCode {
		p.RedirectURI = redirectURI(cmp.Or(d.t.CallbackHost, callbackHosts[0]), cmp.Or(d.t.CallbackPort, registeredPort(d)))
	}
	if !needsClient(d.t.Settings) {
		return err
	}
	client, noClient := dcr.Choose(clientOptions(d))
	p.Client, p.ClientID, p.AuthMethod = client.Kind, client.ID, client.AuthMethod
	return errors.Join(err, stage("client", noClient))
}

// offeredGrants returns the supported grants that the metadata lists. Metadata without a list of grants means the authorization code (RFC
// 8414 §2). If the metadata lists the JWT bearer grant, the result also contains GrantEnterprise.
func offeredGrants(s discovery.ServerMetadata) []Grant {
	listed := s.GrantTypesSupported
	if len(listed) == 0 {
		listed = []string{"authorization_code"}
	}
	grants := []Grant{}
	for _, g := range Grants() {
		if slices.Contains(listed, grantTypes[g]) || g == GrantDevice && s.DeviceAuthorizationEndpoint != "" {
			grants = append(grants, g)
		}
	}
	return grants
}

// grantTypes maps each grant to its grant type in metadata and registrations (RFC 7591 §2).
var grantTypes = map[Grant]string{
	GrantCode:              "authorization_code",
	GrantClientCredentials: "client_credentials",
	GrantDevice:            "urn:ietf:params:oauth:grant-type:device_code",
	GrantJWTBearer:         "urn:ietf:params:oauth:grant-type:jwt-bearer",
	GrantEnterprise:        "urn:ietf:params:oauth:grant-type:jwt-bearer",
}

// runDiscovery runs the discovery of a login. If the caller has already received a response, challenges are the challenges of this
// response. knownIssuer is the issuer of the stored login. The MCP server, the known issuer and the issuer that the user named receive the
// client certificate, but only at URLs that package discovery derives. An authorization server that only the MCP server or a project's file
// names does not receive the client certificate.
func (c *Client) runDiscovery(ctx context.Context, t Target, knownIssuer string, challenges []discovery.Challenge) (*discovery.Result, error) {
	known := []string{t.URL, knownIssuer}
	if !t.IssuerOfProject {
		known = append(known, t.Issuer)
	}
	hc, err := c.httpForOrigins(t, known...)
	if err != nil {
		return nil, err
	}
	found, err := discovery.Discover(ctx, t.URL, discovery.Options{HTTP: c.clientFor(t, c.HTTP), OwnHTTP: hc, KnownIssuers: known[1:],
		Header: t.Header, Challenges: challenges, Issuer: t.Issuer, AssumePKCES256: t.AssumePKCES256, IgnorePKCE: t.grantOrDefault() != GrantCode, Strict: t.Strict})
	if found != nil && t.CertFile != "" {
		found.Server = found.Server.MutualTLS()
	}
	return found, err
}

// Plan describes what a login would do.
type Plan struct {
	Grant      Grant    `json:"grant"`
	Issuer     string   `json:"issuer"`
	Resource   string   `json:"resource"`    // value of the resource parameter; empty: not sent
	Scopes     []string `json:"scopes"`      // empty: the server chooses
	Client     string   `json:"client"`      // dcr.Preregistered, dcr.MetadataDocument or dcr.Dynamic; empty: no client is available
	ClientID   string   `json:"client_id"`   // empty: the client is not registered yet
	AuthMethod string   `json:"auth_method"` // client authentication method at the token endpoint
	DPoP       bool     `json:"dpop"`        // tokens are bound to a key
	Deviations []string `json:"quirks"`      // codes of the tolerated deviations

	RedirectURI string `json:"redirect_uri"` // without a port in the URI, Login uses any free port; empty: the grant needs none
}

// newPlan derives the plan of a login from the settings, the discovery and the stored credential. newPlan sends no request.
func newPlan(s Settings, r *discovery.Result, old credential) Plan {
	offers := r.Server.ScopesSupported
	if s.grantOrDefault().nonInteractive() {
		offers = nil // a renewal needs no user, so it needs no refresh token and no offline_access (RFC 6749 §4.4.3, RFC 7521 §4.1)
	}
	p := Plan{Grant: s.grantOrDefault(), Issuer: r.Server.Issuer, Resource: cmp.Or(s.Resource, r.ResourceID), Deviations: knownDeviations(s, r),
		Scopes: keepScopes(chooseScopes(s.Scopes, r.Challenge.Scope(), scopesOf(r.Resource), offers), old, r.Server.Issuer)}
	if s.NoResource {
		p.Resource = ""
	}
	p.DPoP, _ = usesDPoP(s, r) // checkFeasible returns this error
	return p
}

// checkFeasible returns an error if the authorization server does not offer what the login needs.
func checkFeasible(set Settings, r *discovery.Result) error {
	s := r.Server
	switch {
	case set.grantOrDefault() == GrantDevice && s.DeviceAuthorizationEndpoint == "":
		return stage("device authorization", fmt.Errorf("%w: the metadata of %s names no device_authorization_endpoint (RFC 8628 §4)", ErrUnsupported, s.Issuer))
	case set.grantOrDefault() == GrantCode && s.RequirePushedAuthorizationRequests && s.PushedAuthorizationRequestURL == "":
		return stage("authorization", fmt.Errorf("%w: %s requires pushed authorization requests and names no pushed_authorization_request_endpoint (RFC 9126 §5)",
			ErrUnsupported, s.Issuer))
	}
	_, err := usesDPoP(set, r)
	return err
}

// usesDPoP reports whether a login binds its tokens to a DPoP key. For DPoPAuto, the result is true if the authorization server supports
// ES256 and the MCP server requires DPoP. An MCP server requires DPoP if its metadata contains dpop_bound_access_tokens_required (RFC 9728
// §2), or if its challenge has the scheme DPoP.
func usesDPoP(s Settings, r *discovery.Result) (bool, error) {
	offered := slices.Contains(r.Server.DPoPSigningAlgValuesSupported, "ES256")
	required := r.Resource.DPoPBoundAccessTokensRequired || r.Challenge.Scheme == "dpop"
	switch s.DPoP {
	case DPoPNever:
		return false, nil
	case DPoPAlways:
		if !offered {
			return false, fmt.Errorf("DPoP: %w: dpop_signing_alg_values_supported of %s lacks ES256 (RFC 9449 §5.1)", ErrUnsupported, r.Server.Issuer)
		}
		return true, nil
	}
	return offered && required, nil
}

// needsClient reports whether a login needs a client before it requests tokens. Some servers accept an assertion without a client.
func needsClient(s Settings) bool {
	return !s.grantOrDefault().nonInteractive() || s.ClientID != "" || s.ClientMetadataURL != ""
}

// clientOptions returns the options for package dcr without the HTTP client and the redirect URI.
func clientOptions(d loginDraft) dcr.Options {
	t, s := d.t, d.found.Server
	return dcr.Options{Local: isLocal(t.URL), Issuer: s.Issuer, RegistrationEndpoint: s.RegistrationEndpoint,
		AuthMethods: s.TokenEndpointAuthMethodsSupported, DocumentSupported: s.ClientIDMetadataDocumentSupported,
		GrantTypes: []string{grantTypes[t.grantOrDefault()], "refresh_token"}, Scope: joinScopes(scopesToRegister(d)), ClientName: t.ClientName,
		ClientID: t.ClientID, ClientSecret: t.ClientSecret, HasKey: t.ClientKeyFile != "", Certificate: t.leafCertificate(),
		BoundTokens: s.TLSClientCertificateBoundAccessTokens, DocumentURL: t.ClientMetadataURL, Stored: d.storedClient(), New: d.o.NewClient,
		Strict: t.Strict}
}

// scopesToRegister returns the scopes to register. They include all scopes of the resource, because a step-up cannot request a scope that
// is not registered.
func scopesToRegister(d loginDraft) []string {
	if len(d.plan.Scopes) == 0 {
		return nil
	}
	if all := mergeLists(d.plan.Scopes, scopesOf(d.found.Resource)); checkScopes(all, d.t) == nil {
		return all
	}
	return d.plan.Scopes
}
