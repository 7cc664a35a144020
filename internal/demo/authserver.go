package demo

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	wellKnownResource = "/.well-known/oauth-protected-resource"
	wellKnownOAuth    = "/.well-known/oauth-authorization-server"
	wellKnownOpenID   = "/.well-known/openid-configuration"
	idpPath           = "/idp/token"
)

// route returns the endpoint at a path, or "" if this port has no endpoint there.
func (s *Server) route(path string, f *front) (string, handler) {
	if !f.onlyAS {
		if slices.Contains(s.o.Paths, path) {
			if s.Settings().Slash {
				return "mcp", redirectToSlash
			}
			return "mcp", s.mcp.serve
		}
		if slices.Contains(s.o.Paths, strings.TrimSuffix(path, "/")) && s.Settings().Slash {
			return "mcp", s.mcp.serve
		}
		if strings.HasPrefix(path, wellKnownResource) {
			return "resource-metadata", s.serveResourceMetadata
		}
	}
	if f.onlyMCP {
		return "", nil
	}
	if path == idpPath {
		return "idp", s.serveIDP
	}
	s.mu.Lock()
	issuer, tokenPath := s.issuerPath, s.settings.tokenPath()
	s.mu.Unlock()
	if strings.HasPrefix(path, wellKnownOAuth) || strings.HasPrefix(path, wellKnownOpenID) || path == issuer+wellKnownOpenID {
		return "metadata", s.serveMetadata
	}
	rest, ok := strings.CutPrefix(path, issuer+"/")
	if !ok {
		return "", nil
	}
	switch {
	case strings.HasPrefix(rest, "register/"):
		return "client", s.serveClient
	case rest == tokenPath:
		return "token", s.serveToken
	case rest == "token": // Settings have moved the token endpoint to another path
		return "token", func(w http.ResponseWriter, r *request) { http.NotFound(w, r.Request) }
	}
	h, ok := map[string]handler{
		"authorize":            s.serveAuthorize,
		"par":                  s.servePAR,
		"register":             s.serveRegister,
		"revoke":               s.serveRevoke,
		"introspect":           s.serveIntrospect,
		"device_authorization": s.serveDeviceAuthorization,
		"device":               s.serveDevice,
	}[rest]
	if !ok {
		return "", nil
	}
	return rest, h
}

// redirectToSlash behaves like a server whose MCP application is mounted below a path.
func redirectToSlash(w http.ResponseWriter, r *request) {
	to := *r.URL
	to.Path += "/"
	http.Redirect(w, r.Request, to.String(), http.StatusTemporaryRedirect)
}

// serveResourceMetadata serves the resource metadata (RFC 9728 §3.1). Settings.PRM selects the URL: the well-known URL with the resource's
// path, the well-known URL at the root, both, or neither.
func (s *Server) serveResourceMetadata(w http.ResponseWriter, r *request) {
	where := s.Settings().prm()
	path := strings.TrimPrefix(r.URL.Path, wellKnownResource)
	atPath := path != "" && slices.Contains(s.o.Paths, path)
	atRoot := path == "" || path == "/"
	if path == "" && slices.Contains(s.o.Paths, "/") {
		atPath = true
	}
	switch {
	case where == "both" && (atPath || atRoot), where == "path" && atPath, where == "root" && atRoot:
	default:
		http.NotFound(w, r.Request)
		return
	}
	if !atPath {
		path = s.o.Paths[0]
	}
	writeJSON(w, http.StatusOK, s.resourceMetadata(path))
}

func (s *Server) resourceMetadata(path string) map[string]any {
	v := s.Settings()
	m := map[string]any{
		"resource":                 s.resourceID(orText(path, "/")),
		"resource_name":            "mcpauth demo",
		"authorization_servers":    []string{s.Issuer()},
		"scopes_supported":         withoutOffline(v.scopes()),
		"bearer_methods_supported": []string{"header"},
	}
	if len(v.scopes()) == 0 {
		delete(m, "scopes_supported")
	}
	if v.DPoP == "offer" || v.DPoP == "require" {
		m["dpop_signing_alg_values_supported"] = []string{"ES256"}
		m["dpop_bound_access_tokens_required"] = v.DPoP == "require"
	}
	return m
}

// withoutOffline removes offline_access, which is not a scope of a resource.
func withoutOffline(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == "offline_access" })
}

// serveMetadata serves the authorization server metadata at the well-known URLs that Settings.ASM names.
func (s *Server) serveMetadata(w http.ResponseWriter, r *request) {
	s.mu.Lock()
	where, issuer := s.settings.asm(), s.issuerPath
	s.mu.Unlock()
	places := map[string]string{"oauth": wellKnownOAuth + issuer, "oidc": wellKnownOpenID + issuer, "appended": issuer + wellKnownOpenID}
	if r.URL.Path != places[where] && !(where == "all" && slices.Contains([]string{places["oauth"], places["oidc"], places["appended"]}, r.URL.Path)) {
		http.NotFound(w, r.Request)
		return
	}
	writeJSON(w, http.StatusOK, s.serverMetadata())
}

func (s *Server) serverMetadata() map[string]any {
	v, issuer := s.Settings(), s.Issuer()
	m := map[string]any{
		"issuer":                                           issuer,
		"authorization_endpoint":                           issuer + "/authorize",
		"token_endpoint":                                   issuer + "/" + v.tokenPath(),
		"registration_endpoint":                            issuer + "/register",
		"revocation_endpoint":                              issuer + "/revoke",
		"introspection_endpoint":                           issuer + "/introspect",
		"device_authorization_endpoint":                    issuer + "/device_authorization",
		"scopes_supported":                                 v.scopes(),
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query"},
		"grant_types_supported":                            grantTypes(),
		"token_endpoint_auth_methods_supported":            v.methods(),
		"token_endpoint_auth_signing_alg_values_supported": signatureNames(),
		"revocation_endpoint_auth_methods_supported":       v.methods(),
		"code_challenge_methods_supported":                 []string{"S256"},
		"authorization_response_iss_parameter_supported":   true,
		"protected_resources":                              s.resources(),
		"authorization_grant_profiles_supported":           []string{"urn:ietf:params:oauth:grant-profile:id-jag"},
	}
	if len(v.scopes()) == 0 {
		delete(m, "scopes_supported")
	}
	if v.Documents == "yes" || v.Documents == "loopback" {
		m["client_id_metadata_document_supported"] = true
	}
	if v.DPoP == "offer" || v.DPoP == "require" {
		m["dpop_signing_alg_values_supported"] = []string{"ES256"}
	}
	if v.PAR == "offer" || v.PAR == "require" {
		m["pushed_authorization_request_endpoint"] = issuer + "/par"
		m["require_pushed_authorization_requests"] = v.PAR == "require"
	}
	if s.aliases != "" {
		m["tls_client_certificate_bound_access_tokens"] = true
		aliases := map[string]string{"authorization_endpoint": "https://not.for.clients.example/"} // clients ignore this alias (RFC 8705 §5)
		for _, name := range []string{"token_endpoint", "revocation_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint"} {
			if address, ok := m[name].(string); ok {
				aliases[name] = strings.Replace(address, s.asOrigin, s.aliases, 1)
			}
		}
		m["mtls_endpoint_aliases"] = aliases
	}
	return m
}

// oauthError is an error response (RFC 6749 §5.2).
type oauthError struct {
	status      int
	code        string
	description string
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

// refuse returns an error with status 400.
func refuse(code, description string, args ...any) *oauthError {
	return &oauthError{http.StatusBadRequest, code, fmt.Sprintf(description, args...)}
}

// writeError sends an OAuth error and records its code in the log.
func (s *Server) writeError(w http.ResponseWriter, r *request, e *oauthError) {
	s.note(r.entry, e.code)
	if e.status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
	}
	writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.description})
}
