package flow

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

// Secret is a string that package fmt does not print.
type Secret = httpx.Secret

// Settings are the user's settings for one server. A login stores its Settings in the credential, so that later logins and step-ups use the
// same settings. The zero value lets the server decide everything.
type Settings struct {
	Grant             Grant    `json:"grant,omitempty"`     // empty: GrantCode
	ClientID          string   `json:"client_id,omitempty"` // ID of a pre-registered client; empty: metadata document or registration
	ClientSecret      Secret   `json:"client_secret,omitempty"`
	SecretParts       []Secret `json:"-"`                             // values that are part of ClientSecret; each is sent only to the issuer that first received it
	ClientMetadataURL string   `json:"client_metadata_url,omitempty"` // URL of a client ID metadata document; empty: none
	ClientKeyFile     string   `json:"client_key_file,omitempty"`     // private key for private_key_jwt, PEM or JWK; read again for every token request
	Issuer            string   `json:"issuer,omitempty"`              // authorization server to use; empty: the first usable one in the resource metadata
	IssuerOfProject   bool     `json:"issuer_of_project,omitempty"`   // a stranger's configuration file named Issuer, which is then not trusted like an issuer that the user names, see namesIssuer
	Scopes            []string `json:"scopes,omitempty"`              // empty: those that the server requests
	CallbackHost      string   `json:"callback_host,omitempty"`       // 127.0.0.1 or localhost; empty: 127.0.0.1
	CallbackPort      int      `json:"callback_port,omitempty"`       // 0: the port of the stored registration, or else a free port
	AssertionFile     string   `json:"assertion_file,omitempty"`      // GrantJWTBearer: file with the assertion; read again for every token request
	Assertion         string   `json:"assertion,omitempty"`           // GrantJWTBearer: another source of the assertion, see AssertionSources
	AssertionDir      string   `json:"assertion_dir,omitempty"`       // folder in which the command of Assertion runs; empty: the working directory of the login that names Assertion
	IDP               IDP      `json:"idp,omitzero"`                  // GrantEnterprise
	DPoP              DPoP     `json:"dpop,omitempty"`                // empty: DPoPAuto
	CertFile          string   `json:"cert_file,omitempty"`           // PEM client certificate (RFC 8705) for the MCP server and its authorization server; read again for every connection
	CertKeyFile       string   `json:"cert_key_file,omitempty"`       // PEM private key of the certificate; empty: CertFile contains it
	ExpectAccount     string   `json:"expect_account,omitempty"`      // the login fails if it is for another account, see Status.Account; empty: any account

	// ApprovedFiles maps ClientKeyFile and AssertionFile to the paths without links that the user approved, if a stranger's configuration file
	// names them; see Client.Guard. A file that the user names is not listed, so that it may be a link that other programs replace.
	ApprovedFiles map[string]string `json:"approved_files,omitempty"`

	// NameOfProject says that only a stranger's configuration file, and not the user, gives the server the name Target.Profile.
	NameOfProject bool `json:"name_of_project,omitempty"`

	// Settings for servers that deviate from the specifications.
	Resource       string      `json:"resource,omitempty"`         // value of the resource parameter; empty: the value in the resource metadata
	NoResource     bool        `json:"no_resource,omitempty"`      // leave the resource parameter out
	AssumePKCES256 bool        `json:"assume_pkce_s256,omitempty"` // accept metadata that does not announce S256
	ClientName     string      `json:"client_name,omitempty"`      // client name in a registration; empty: "mcpauth"
	AuthParams     [][2]string `json:"auth_params,omitempty"`      // names and values to add to the authorization request
	Strict         bool        `json:"strict,omitempty"`           // every deviation of the server is an error
}

// Grant is an OAuth grant.
type Grant string

// The grants that Login supports.
const (
	GrantCode              Grant = "authorization_code" // RFC 6749 §4.1
	GrantClientCredentials Grant = "client_credentials" // RFC 6749 §4.4
	GrantDevice            Grant = "device_code"        // RFC 8628
	GrantJWTBearer         Grant = "jwt_bearer"         // RFC 7523 §2.1
	GrantEnterprise        Grant = "enterprise"         // MCP enterprise-managed authorization
)

// Grants returns all supported grants.
func Grants() []Grant {
	return []Grant{GrantCode, GrantClientCredentials, GrantDevice, GrantJWTBearer, GrantEnterprise}
}

// nonInteractive reports whether the grant needs no user, so that mcpauth can request a new token at any time.
func (g Grant) nonInteractive() bool {
	return g == GrantClientCredentials || g == GrantJWTBearer || g == GrantEnterprise
}

// DPoP chooses when tokens are bound to a key (RFC 9449).
type DPoP string

// Values of Settings.DPoP.
const (
	DPoPAuto   DPoP = "auto"   // bind tokens if the resource requires it and the authorization server supports it
	DPoPAlways DPoP = "always" // bind tokens; an error if the authorization server does not support DPoP with ES256
	DPoPNever  DPoP = "never"  // use bearer tokens
)

// IDP configures the enterprise's identity provider. Set Issuer if the user signs in with the browser. Set TokenEndpoint and IDTokenFile if
// another program obtains the ID token.
type IDP struct {
	Issuer        string `json:"issuer,omitempty"`
	TokenEndpoint string `json:"token_endpoint,omitempty"` // endpoint that exchanges the ID token (RFC 8693)
	ClientID      string `json:"client_id,omitempty"`      // client ID registered at the identity provider
	ClientSecret  Secret `json:"client_secret,omitempty"`  // secret of that client; empty: it is a public client
	IDTokenFile   string `json:"id_token_file,omitempty"`  // file with the ID token; read again for every token request
}

// grantOrDefault returns Grant, or GrantCode if Grant is empty.
func (s Settings) grantOrDefault() Grant { return cmp.Or(s.Grant, GrantCode) }

// namesClient reports whether the settings name a client.
func (s Settings) namesClient() bool {
	return s.ClientID != "" || s.ClientSecret != "" || s.ClientMetadataURL != "" || s.ClientKeyFile != ""
}

// namesIssuer reports whether the user named an issuer, with a flag or in their own configuration. An issuer in a project's file does not count.
func (s Settings) namesIssuer(issuer string) bool {
	return s.Issuer != "" && !s.IssuerOfProject && discovery.SameIssuer(s.Issuer, issuer)
}

// allowsDeviations reports whether the settings allow a deviation that Strict forbids.
func (s Settings) allowsDeviations() bool {
	return s.AssumePKCES256 || s.NoResource || s.Resource != ""
}

// Overlay returns the settings of a later login. Each field has the value in given or, if that value is empty, the stored value. The stored
// client is used only if the grant is the same and given names no client. The stored CallbackPort is not used, because a login prefers the
// port of the stored registration and can use another port if that one is in use.
func (stored Settings) Overlay(given Settings) Settings {
	s := given
	s.Grant = cmp.Or(given.Grant, stored.Grant)
	if s.grantOrDefault() == stored.grantOrDefault() {
		if !given.namesClient() {
			s.ClientID, s.ClientSecret = stored.ClientID, stored.ClientSecret
			s.ClientMetadataURL, s.ClientKeyFile = stored.ClientMetadataURL, stored.ClientKeyFile
		}
		if given.AssertionFile == "" && given.Assertion == "" {
			s.AssertionFile, s.Assertion, s.AssertionDir = stored.AssertionFile, stored.Assertion, stored.AssertionDir
		}
		s.IDP = cmp.Or(given.IDP, stored.IDP)
	}
	s.ApprovedFiles = nil
	s.approve(s.ClientKeyFile, given.ClientKeyFile != "", given, stored)
	s.approve(s.AssertionFile, given.AssertionFile != "", given, stored)
	if given.CertFile == "" {
		s.CertFile, s.CertKeyFile = stored.CertFile, stored.CertKeyFile
	}
	if given.Issuer == "" {
		s.Issuer, s.IssuerOfProject = stored.Issuer, stored.IssuerOfProject
	}
	s.ExpectAccount = cmp.Or(given.ExpectAccount, stored.ExpectAccount)
	s.CallbackHost = cmp.Or(given.CallbackHost, stored.CallbackHost)
	s.DPoP = cmp.Or(given.DPoP, stored.DPoP)
	if len(given.Scopes) == 0 {
		s.Scopes = stored.Scopes
	}
	s.Strict = given.Strict || stored.Strict && !given.allowsDeviations()
	if s.Strict {
		return s // a strict login does not inherit stored settings that allow deviations
	}
	if !given.NoResource && given.Resource == "" {
		s.NoResource, s.Resource = stored.NoResource, stored.Resource
	}
	s.AssumePKCES256 = given.AssumePKCES256 || stored.AssumePKCES256
	s.ClientName = cmp.Or(given.ClientName, stored.ClientName)
	if given.AuthParams == nil {
		s.AuthParams = stored.AuthParams
	}
	return s
}

// approve copies the entry of a file in ApprovedFiles from the settings that named the file.
func (s *Settings) approve(file string, isGiven bool, given, stored Settings) {
	from := stored
	if isGiven {
		from = given
	}
	if real, ok := from.ApprovedFiles[file]; ok {
		if s.ApprovedFiles == nil {
			s.ApprovedFiles = map[string]string{}
		}
		s.ApprovedFiles[file] = real
	}
}

// equal compares all settings except Scopes and CallbackPort.
func (s Settings) equal(other Settings) bool {
	for _, each := range []*Settings{&s, &other} {
		each.Grant, each.Scopes, each.CallbackPort = each.grantOrDefault(), nil, 0
	}
	return reflect.DeepEqual(s, other)
}

// Difference returns the name of a setting that has another value in given, and both values. If given only repeats settings of s, the name is
// empty. These do not count: an empty setting of given, a scope that s contains, a URL or a path in another form, the address of the callback,
// and DPoPAuto for a login without DPoP.
func (s Settings) Difference(given Settings) (name string, own, other any) {
	ours, theirs := reflect.ValueOf(s.withAbsolutePaths()), reflect.ValueOf(given.withAbsolutePaths())
	for field, value := range theirs.Fields() {
		own, other = ours.FieldByIndex(field.Index).Interface(), value.Interface()
		name, _, _ = strings.Cut(field.Tag.Get("json"), ",")
		scopes, isScopes := other.([]string)
		if value.IsZero() || slices.Contains([]string{"-", "issuer_of_project", "name_of_project", "approved_files", "callback_host", "callback_port"}, name) || isSameSetting(own, other) ||
			isScopes && len(missingScopes(scopes, s.Scopes)) == 0 || other == DPoPAuto && own != DPoPAlways {
			continue
		}
		return name, own, other
	}
	return "", nil, nil
}

// isSameSetting reports whether two values are equal, two forms of one URL, or two paths of one file.
func isSameSetting(a, b any) bool {
	first, ok := a.(string)
	second, both := b.(string)
	if !ok || !both {
		return reflect.DeepEqual(a, b)
	}
	return first == second || normalForm(first) == normalForm(second)
}

// normalForm returns a URL in canonical form without a trailing slash, a path without symbolic links, and any other text unchanged.
func normalForm(text string) string {
	if filepath.IsAbs(text) {
		if real, err := filepath.EvalSymlinks(text); err == nil {
			return real
		}
	} else if u, err := url.Parse(text); err == nil && u.Host != "" {
		return strings.TrimSuffix(httpx.Canonical(u), "/")
	}
	return text
}

// With returns s with the settings that other contains.
func (s Settings) With(other Settings) Settings {
	result := reflect.ValueOf(&s).Elem()
	for field, value := range reflect.ValueOf(other).Fields() {
		if !value.IsZero() {
			result.FieldByIndex(field.Index).Set(value)
		}
	}
	return s
}

// Without returns s without the settings that other contains.
func (s Settings) Without(other Settings) Settings {
	result := reflect.ValueOf(&s).Elem()
	for field, value := range reflect.ValueOf(other).Fields() {
		if !value.IsZero() {
			result.FieldByIndex(field.Index).SetZero()
		}
	}
	return s
}

// validate returns an error if the settings contradict each other, or if a key or assertion file is unusable. It sends no request.
func (c *Client) validate(s Settings) error {
	grant := s.grantOrDefault()
	hasClient := s.ClientID != "" || s.ClientMetadataURL != ""
	for _, rule := range []struct {
		broken bool
		why    string
	}{
		{!slices.Contains(Grants(), grant), fmt.Sprintf("unknown grant %q", grant)},
		{!slices.Contains([]DPoP{"", DPoPAuto, DPoPAlways, DPoPNever}, s.DPoP), fmt.Sprintf("dpop is auto, always or never, not %q", s.DPoP)},
		{s.CallbackHost != "" && !slices.Contains(callbackHosts, s.CallbackHost), fmt.Sprintf("the host of the callback is 127.0.0.1 or localhost, not %q", s.CallbackHost)},
		{s.ClientSecret != "" && s.ClientID == "", "a client secret needs the client id it belongs to"},
		{s.ClientSecret != "" && s.ClientKeyFile != "", "a client authenticates with a secret or with a key, not both"},
		{s.ClientKeyFile != "" && !hasClient, "a client key needs the client id it belongs to"},
		{s.CertKeyFile != "" && s.CertFile == "", "the key of a client certificate needs the certificate"},
		{grant == GrantClientCredentials && (s.ClientID == "" || s.ClientSecret == "" && s.ClientKeyFile == "" && s.CertFile == ""),
			"client_credentials needs a client id and a secret, a key or a client certificate"},
		{grant == GrantJWTBearer && s.AssertionFile == "" && s.Assertion == "", "jwt_bearer needs an assertion"},
		{s.AssertionFile != "" && s.Assertion != "", "there can be only one source of the assertion"},
		{s.IDP != IDP{} && grant != GrantEnterprise, "an identity provider needs the grant enterprise"},
		{s.IDP.Issuer != "" && (s.IDP.TokenEndpoint != "" || s.IDP.IDTokenFile != ""),
			"the identity provider is named by its issuer, or by a token endpoint and an ID token file, not both"},
		{grant == GrantEnterprise && (s.IDP.Issuer == "" && (s.IDP.TokenEndpoint == "" || s.IDP.IDTokenFile == "") || s.IDP.ClientID == "" || !hasClient),
			"enterprise needs the identity provider's issuer (or its token endpoint and an ID token file), the client id there, and the client id here"},
	} {
		if rule.broken {
			return fmt.Errorf("%w: %s", ErrOptions, rule.why)
		}
	}
	for _, p := range s.AuthParams {
		if isReservedParam(p[0]) {
			return fmt.Errorf("%w: --auth-param %s is reserved", ErrOptions, p[0])
		}
	}
	if s.ClientKeyFile != "" {
		if _, err := c.loadKey(s); err != nil {
			return err
		}
	}
	if grant == GrantJWTBearer {
		return c.checkAssertion(s)
	}
	return nil
}

// legacySettings are the fields in which earlier versions stored the user's settings.
type legacySettings struct {
	KeyFile    string      `json:"client_key_file"`
	Assertion  string      `json:"assertion_file"`
	IDP        IDP         `json:"idp"`
	AuthParams [][2]string `json:"auth_params"`
	IssuerPin  string      `json:"issuer_pin"`
	Strict     bool        `json:"strict"`
}

// toSettings returns the settings in a record of an earlier version. The argument is the rest of the record.
func (l legacySettings) toSettings(c credential) Settings {
	s := Settings{Grant: c.Grant, AssertionFile: l.Assertion, IDP: l.IDP, AuthParams: l.AuthParams, Issuer: l.IssuerPin, Strict: l.Strict}
	switch c.Client.Kind {
	case dcr.Preregistered:
		s.ClientID, s.ClientSecret, s.ClientKeyFile = c.Client.ID, c.Client.Secret, l.KeyFile
	case dcr.MetadataDocument:
		s.ClientMetadataURL, s.ClientKeyFile = c.Client.ID, l.KeyFile
	}
	if u, err := url.Parse(c.Client.RedirectURI); err == nil {
		s.CallbackHost = u.Hostname()
	}
	if c.DPoPKey != nil {
		s.DPoP = DPoPAlways
	}
	for _, code := range c.Deviations {
		switch name, value, _ := strings.Cut(code, "="); name {
		case "no_resource":
			s.NoResource = true
		case "resource":
			s.Resource = value
		case "client_name":
			s.ClientName = value
		case "assume_pkce_s256":
			s.AssumePKCES256 = true
		}
	}
	return s
}
