// This file makes a later login the earlier one over again: a step-up in the middle of a call, or `mcpauth login NAME` as hints say it.

package flow

import (
	"net/url"
	"slices"
	"strings"

	"mcpauth/pkg/dcr"
)

// again fills in what the user leaves open from the stored login: the grant, the client with its secret or key and the host it is called
// back at, the DPoP binding, the authorization server, and what was said for a server that strays. Without it a step-up would turn a machine's login into a person's,
// leave a pre-registered client for a new registration, and get an unbound token in place of one bound to a key.
func again(t Target, o LoginOptions, cred Credential) (Target, LoginOptions) {
	if t.Grant == "" {
		t.Grant = cred.Grant
	}
	if t.grant() == grantOf(cred) && !(o.NewClient && o.than == nil) {
		t = sameClient(t, cred)
	}
	if u, err := url.Parse(cred.Client.RedirectURI); t.CallbackHost == "" && err == nil {
		t.CallbackHost = u.Hostname()
	}
	if t.DPoP == "" && cred.DPoPKey != nil {
		t.DPoP = "always"
	}
	if t.Issuer == "" && !o.AcceptNewIssuer {
		t.Issuer = cred.IssuerPin
	}
	// A login stays strict until the user concedes something.
	o.Strict = o.Strict || cred.Strict && !o.AssumePKCES256 && !o.NoResource && o.Resource == ""
	if o.Strict {
		return t, o // what was put up with is not put up with again
	}
	if !o.NoResource && o.Resource == "" {
		o.NoResource = slices.Contains(cred.Quirks, "no_resource")
		o.Resource = quirkValue(cred.Quirks, "resource=")
	}
	if o.AuthParams == nil {
		o.AuthParams = cred.AuthParams
	}
	if o.ClientName == "" {
		o.ClientName = quirkValue(cred.Quirks, "client_name=")
	}
	o.AssumePKCES256 = o.AssumePKCES256 || slices.Contains(cred.Quirks, "assume_pkce_s256")
	return t, o
}

// sameClient is the target with the stored login's own client, where the user names none. Registrations are found by dcr.Resolve.
func sameClient(t Target, cred Credential) Target {
	if t.ClientID != "" || t.ClientSecret != "" || t.ClientMetadataURL != "" || t.ClientKeyFile != "" {
		return t
	}
	switch cred.Client.Kind {
	case dcr.Preregistered:
		t.ClientID, t.ClientSecret, t.ClientKeyFile = cred.Client.ID, cred.Client.Secret, cred.KeyFile
	case dcr.MetadataDocument:
		t.ClientMetadataURL, t.ClientKeyFile = cred.Client.ID, cred.KeyFile
	}
	if t.AssertionFile == "" {
		t.AssertionFile = cred.Assertion
	}
	if t.IDP == (IDP{}) {
		t.IDP = cred.IDP
	}
	return t
}

// grantOf is the grant of a stored login; of none at all it is the ordinary one.
func grantOf(cred Credential) string { return Target{Grant: cred.Grant}.grant() }

// quirkValue is the value of a recorded quirk that has one.
func quirkValue(quirks []string, prefix string) string {
	for _, q := range quirks {
		if value, ok := strings.CutPrefix(q, prefix); ok {
			return value
		}
	}
	return ""
}
