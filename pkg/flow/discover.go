// This file explains a server without changing anything there: the discovery of a login, and what the login would do next.

package flow

import (
	"context"
	"errors"
	"slices"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

// Discovery explains a server; its JSON form is part of the command line's contract.
type Discovery struct {
	URL      string                    `json:"url"`
	Open     bool                      `json:"open"`                 // it answered without a token
	Attempts []Attempt                 `json:"attempts"`             // every request, in order
	Checks   []discovery.Check         `json:"checks"`               // every rule that discovery came to, in order
	Server   *discovery.ServerMetadata `json:"authorization_server"` // nil: discovery did not get so far
	Grants   []string                  `json:"grants"`               // those of Grants that the authorization server offers
	Plan     *Plan                     `json:"login"`                // nil: discovery did not get so far
}

// Attempt is one request of a discovery.
type Attempt struct {
	discovery.Attempt
	Meaning string `json:"meaning"`
}

// Discover runs the discovery of Login and decides what Login would do, without doing it: nothing is registered, asked for or stored, and
// nothing stored is looked at. The error is the one that Login would end with before its browser opens; the Discovery is there beside it.
func (c *Client) Discover(ctx context.Context, t Target, o LoginOptions) (Discovery, error) {
	found, err := c.discover(ctx, t, o)
	d := Discovery{URL: t.URL, Attempts: []Attempt{}, Checks: []discovery.Check{}, Grants: []string{}}
	if found == nil {
		return d, err
	}
	d.Open, d.Checks = found.Open, discovery.Review(found, err)
	for _, a := range found.Attempts {
		d.Attempts = append(d.Attempts, Attempt{a, found.Meaning(a)})
	}
	if err != nil {
		return d, err
	}
	d.Server, d.Grants = &found.Server, offered(found.Server)
	p := newPlan(t, o, found)
	err = p.complete(t, o, found)
	d.Plan = &p
	return d, err
}

// complete adds to a plan what may fail: that the server offers what is wanted, and that there is a client to be.
func (p *Plan) complete(t Target, o LoginOptions, found *discovery.Result) error {
	err := feasible(t, found)
	p.DPoP, _ = useDPoP(t, found) // feasible has the error
	if !needsClient(t) {
		return err
	}
	client, noClient := dcr.Choose(clientOptions(t, o, found, p.Scopes))
	p.Client, p.ClientID, p.AuthMethod = client.Kind, client.ID, client.AuthMethod
	return errors.Join(err, stage("client", noClient))
}

// offered lists the grants that the metadata offers. A server that lists none means the authorization code (RFC 8414 §2); the enterprise's
// grant ends in an assertion, so it is offered wherever that is.
func offered(s discovery.ServerMetadata) []string {
	types := map[string]string{GrantCode: "authorization_code", GrantClientCredentials: "client_credentials",
		GrantDevice: "urn:ietf:params:oauth:grant-type:device_code", GrantJWTBearer: jwtBearer, GrantEnterprise: jwtBearer}
	listed := s.GrantTypesSupported
	if len(listed) == 0 {
		listed = []string{"authorization_code"}
	}
	grants := []string{}
	for _, g := range Grants() {
		if slices.Contains(listed, types[g]) || g == GrantDevice && s.DeviceAuthorizationEndpoint != "" {
			grants = append(grants, g)
		}
	}
	return grants
}

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// discover asks the server as every login does.
func (c *Client) discover(ctx context.Context, t Target, o LoginOptions) (*discovery.Result, error) {
	return discovery.Discover(ctx, t.URL, discovery.Options{HTTP: c.HTTP, Header: t.Header, Challenges: o.challenges,
		Issuer: t.Issuer, AssumePKCES256: o.AssumePKCES256, IgnorePKCE: t.grant() != GrantCode, Strict: o.Strict})
}
