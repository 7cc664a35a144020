package dcr

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// Error is the refusal of an authorization server to register or delete a client. Every field is safe to print.
type Error struct {
	URL         string
	StatusCode  int
	Code        string        // error code of RFC 7591 §3.2.2 or of another error format; empty: none
	Description string        // message of the server; empty: none
	ErrorURI    string        // URL of a page about the error; empty: no URL, or a URL that is not allowed
	RetryAfter  time.Duration // Retry-After of the response; 0: none
}

func (e *Error) Error() string {
	r := httpx.Refusal{StatusCode: e.StatusCode, Code: e.Code, Text: e.Description, URI: e.ErrorURI, RetryAfter: e.RetryAfter}
	return "client registration " + e.URL + ": answered " + r.String()
}

// registrationRequest is the client metadata to register (RFC 7591 §2). mcpauth does not send a member named resource, because some servers
// refuse unknown members.
type registrationRequest struct {
	ClientName      string   `json:"client_name"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"` // never omitted, because the default is code, which requires redirect URIs (RFC 7591 §2; enforced by oidc-provider)
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	ApplicationType string   `json:"application_type"` // OpenID Connect Dynamic Client Registration 1.0 §2; without "native", servers refuse http on loopback
	Scope           string   `json:"scope,omitempty"`
	SoftwareID      string   `json:"software_id"`
	SoftwareVersion string   `json:"software_version,omitempty"`
	SubjectDN       string   `json:"tls_client_auth_subject_dn,omitempty"`                 // RFC 8705 §2.1.2
	BoundTokens     bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705 §3.4
}

// registrationResponse contains the members of a registration response that mcpauth uses (RFC 7591 §3.2.1, RFC 7592 §3). RedirectURIs is
// checked but not stored, because some servers return another redirect URI but accept only the one that was sent.
type registrationResponse struct {
	ClientID          string      `json:"client_id"`
	ClientSecret      Secret      `json:"client_secret"`
	SecretExpiresAt   json.Number `json:"client_secret_expires_at"`
	RedirectURIs      any         `json:"redirect_uris"`
	AuthMethod        string      `json:"token_endpoint_auth_method"`
	Scope             *string     `json:"scope"`
	RegistrationURI   string      `json:"registration_client_uri"`
	RegistrationToken Secret      `json:"registration_access_token"`
}

// Register registers a new client (RFC 7591 §3). If the server refuses the scope, Register tries once more without scope. If the server
// refuses the registration, the error is an *Error.
func Register(ctx context.Context, o Options) (Client, error) {
	r := o.newRequest()
	c, err := register(ctx, o, r)
	var refused *Error
	if !o.Strict && errors.As(err, &refused) && r.Scope != "" && scopeRefused(refused) {
		o.deviates("registration_scope")
		r.Scope = ""
		return register(ctx, o, r)
	}
	return c, err
}

func (o Options) deviates(code string) {
	if o.Deviation != nil {
		o.Deviation(code)
	}
}

func (o Options) newRequest() registrationRequest {
	r := registrationRequest{ClientName: cmp.Or(o.ClientName, "mcpauth"), GrantTypes: o.GrantTypes, ResponseTypes: []string{}, AuthMethod: o.wantedMethod(), ApplicationType: "native", Scope: o.Scope,
		SoftwareID: "mcpauth", SoftwareVersion: o.SoftwareVersion, BoundTokens: o.requestsBoundTokens()}
	if r.AuthMethod == "tls_client_auth" {
		r.SubjectDN = o.Certificate.Subject.String()
	}
	if r.GrantTypes == nil {
		r.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	if o.RedirectURI != "" {
		r.RedirectURIs, r.ResponseTypes = []string{o.RedirectURI}, []string{"code"}
	}
	return r
}

// wantedMethod returns the authentication method to register. The first choice is "none", as RFC 8252 §8.4 recommends for native apps. The
// next choices are client_secret_basic, client_secret_post and, if there is a TLS certificate, tls_client_auth. If the server supports none
// of these methods, wantedMethod returns "none".
func (o Options) wantedMethod() string {
	methods := []string{"none", "client_secret_basic", "client_secret_post"}
	if o.Certificate != nil {
		methods = append(methods, "tls_client_auth")
	}
	return firstOf(methods, o.AuthMethods, "none")
}

// scopeRefused reports whether a server refused a registration because of its scope, as Keycloak and Supabase do.
func scopeRefused(e *Error) bool {
	return e.StatusCode == http.StatusBadRequest && strings.Contains(strings.ToLower(e.Code+" "+e.Description), "scope")
}

func register(ctx context.Context, o Options, r registrationRequest) (Client, error) {
	endpoint, err := httpx.Check(o.RegistrationEndpoint, o.Local)
	if err != nil {
		return Client{}, fmt.Errorf("registration endpoint: %w", err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Client{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return Client{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := httpx.DoIssuing(o.HTTP, req)
	if err != nil {
		return Client{}, fmt.Errorf("client registration %s: %w", endpoint, httpx.Bare(err))
	}
	if res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusOK {
		return Client{}, refusalError(endpoint.String(), res)
	}
	return o.newClient(endpoint, r, res)
}

func (o Options) newClient(endpoint *url.URL, r registrationRequest, res *httpx.Response) (Client, error) {
	var a registrationResponse
	wrong, err := httpx.DecodeMembers(res.Body, &a)
	if err != nil || a.ClientID == "" || !isPrintable(a.ClientID) || !isPrintable(string(a.ClientSecret)) || len(a.ClientID) > maxID ||
		max(len(a.ClientSecret), len(a.RegistrationToken)) > httpx.MaxSecret {
		e := refusalError(endpoint.String(), res)
		e.Description = strings.TrimPrefix(e.Description+"; the answer holds no usable client_id, client_secret or registration_access_token (RFC 7591 §3.2.1)", "; ")
		return Client{}, e
	}
	c := Client{ID: a.ClientID, Secret: a.ClientSecret, Kind: Dynamic,
		Issuer: o.Issuer, RedirectURI: o.RedirectURI, Scope: r.Scope, AuthMethod: o.answeredMethod(r, a), BoundTokens: r.BoundTokens}
	if seconds, err := a.SecretExpiresAt.Float64(); err == nil && seconds > 0 && seconds < 1<<40 {
		c.SecretExpiresAt = time.Unix(int64(seconds), 0).UTC()
	}
	if a.Scope != nil && *a.Scope != "" && len(*a.Scope) <= maxScope {
		c.Scope = *a.Scope
	}
	if err := o.reportDeviations(endpoint.String(), r, res.StatusCode, a, c, wrong); err != nil {
		return Client{}, err
	}
	if manage, err := endpoint.Parse(a.RegistrationURI); a.RegistrationURI != "" && err == nil {
		// A request to this URL contains the registration access token, so the URL must have the origin of the registration endpoint.
		if u, err := httpx.Check(manage.String(), o.Local); err == nil && httpx.SameOrigin(u, endpoint) && isPrintable(string(a.RegistrationToken)) {
			c.RegistrationURI, c.RegistrationToken = u.String(), a.RegistrationToken
		}
	}
	return c, nil
}

// reportDeviations reports each deviation of a registration response from RFC 7591 to Options.Deviation. With Strict, reportDeviations
// returns an error for the first deviation.
func (o Options) reportDeviations(address string, r registrationRequest, status int, a registrationResponse, c Client, wrong []string) error {
	for _, d := range []struct {
		code, reason string
		deviates     bool
	}{
		{"registration_status", "expected 201 (RFC 7591 §3.2.1)", status != http.StatusCreated},
		{"registration_member_type", strings.Join(wrong, ", ") + ": not of the expected type; taken as absent (RFC 7591 §3.2.1)", wrong != nil},
		{"registration_redirect_uris", "redirect_uris of the answer does not contain the redirect URI that was sent (RFC 7591 §3.2.1)", o.RedirectURI != "" && !containsRedirectURI(a.RedirectURIs, o.RedirectURI)},
		{"registration_auth_method", fmt.Sprintf("token_endpoint_auth_method of the answer is %q, which does not fit the client_secret in the answer or its absence (RFC 7591 §3.2.1)",
			httpx.Text(a.AuthMethod, 40)), c.AuthMethod != a.AuthMethod && (a.AuthMethod != "" || a.ClientSecret != "")},
	} {
		switch {
		case d.deviates && o.Strict:
			return fmt.Errorf("client registration %s: answered %d: %s: %w", address, status, d.reason, ErrDeviation)
		case d.deviates:
			o.deviates(d.code)
		}
	}
	return nil
}

// containsRedirectURI reports whether the redirect_uris in a response contain the redirect URI from the request. A response without
// redirect_uris is accepted. LiteLLM returns a redirect URI of its own.
func containsRedirectURI(answered any, sent string) bool {
	list, ok := answered.([]any)
	return answered == nil || ok && slices.Contains(list, any(sent))
}

// answeredMethod returns the authentication method of the registered client. The method in the response is used if it is "none", or if it
// sends a secret and the response contains one. If this method cannot be used and the response contains no secret, the client uses the
// requested method. With a secret, the client uses the requested method only if the metadata lists it. If the metadata lists only other
// methods, AuthMethod chooses one with a secret.
func (o Options) answeredMethod(r registrationRequest, a registrationResponse) string {
	switch {
	case a.AuthMethod == "none", a.AuthMethod == "client_secret_basic" && a.ClientSecret != "", a.AuthMethod == "client_secret_post" && a.ClientSecret != "":
		return a.AuthMethod
	case a.ClientSecret == "" || slices.Contains(o.AuthMethods, r.AuthMethod):
		return r.AuthMethod
	case len(o.AuthMethods) > 0:
		return AuthMethod(o.AuthMethods, true, false)
	}
	return "client_secret_post" // not client_secret_basic (RFC 7591 §2), because servers with the TypeScript SDK accept a secret only in the body
}

// refusalError returns the error for an unsuccessful response.
func refusalError(address string, res *httpx.Response) *Error {
	r := httpx.ReadRefusal(res, time.Now())
	return &Error{URL: address, StatusCode: r.StatusCode, Code: r.Code, Description: r.Text, ErrorURI: r.URI, RetryAfter: r.RetryAfter}
}

// maxID limits the length of a client ID in bytes, because the client ID becomes part of a URL.
const maxID = 4 << 10

// maxScope limits the scope of a registration in bytes. A longer scope is not stored, because every command would read it.
const maxScope = 16 << 10

// isPrintable reports whether s has only the characters that RFC 6749 Appendix A allows in client IDs and secrets: visible ASCII characters
// and spaces.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
