package demo

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Client is a registered client.
type Client struct {
	ID            string          `json:"client_id"`
	Secret        string          `json:"client_secret,omitempty"`
	Method        string          `json:"token_endpoint_auth_method,omitempty"` // empty: client_secret_basic if the client has a secret, or else none
	RedirectURIs  []string        `json:"redirect_uris,omitempty"`              // the client's redirect URIs; empty for a pre-registered client: any URL on loopback
	GrantTypes    []string        `json:"grant_types,omitempty"`                // the client's grant types; empty for a pre-registered client: every grant type
	ResponseTypes []string        `json:"response_types,omitempty"`
	Scope         string          `json:"scope,omitempty"` // scopes that the client may request; empty: any scope
	Name          string          `json:"client_name,omitempty"`
	Type          string          `json:"application_type,omitempty"`
	SubjectDN     string          `json:"tls_client_auth_subject_dn,omitempty"`
	Key           json.RawMessage `json:"jwk,omitempty"` // public key for private_key_jwt: a JWK, or a string with PEM

	dynamic bool
	token   string    // registration access token
	expires time.Time // time at which the secret expires; zero: never
}

// DefaultClients returns the clients that are pre-registered at every server.
func DefaultClients() []Client {
	return []Client{
		{ID: "demo-public", Method: "none", Name: "public client"},
		{ID: "demo-basic", Secret: "demo-cs-basic", Method: "client_secret_basic", Name: "client with a secret, in the header"},
		{ID: "demo-post", Secret: "demo-cs-post", Method: "client_secret_post", Name: "client with a secret, in the body"},
		{ID: idpClient, Secret: "demo-cs-idp", Method: "client_secret_basic", Name: "client at the identity provider"},
	}
}

// AddClient adds or replaces a client.
func (s *Server) AddClient(c Client) {
	if c.Method == "" {
		c.Method = "none"
		if c.Secret != "" {
			c.Method = "client_secret_basic"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.clients[c.ID] = &c
}

// Clients returns the IDs of the clients that registered dynamically.
func (s *Server) Clients() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []string{}
	for id, c := range s.state.clients {
		if c.dynamic {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// serveRegister registers a client (RFC 7591).
func (s *Server) serveRegister(w http.ResponseWriter, r *request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST a client", http.StatusMethodNotAllowed)
		return
	}
	c, refused := s.register(r.body)
	if refused != nil {
		s.writeError(w, r, refused)
		return
	}
	s.count("registered")
	writeJSON(w, http.StatusCreated, s.registration(c))
}

// register checks the metadata of a client and adds the client.
func (s *Server) register(body []byte) (*Client, *oauthError) {
	c := &Client{dynamic: true}
	if err := json.Unmarshal(body, c); err != nil {
		return nil, refuse("invalid_client_metadata", "not a JSON object: %v", err)
	}
	var members map[string]any
	json.Unmarshal(body, &members)
	if _, ok := members["resource"]; ok {
		return nil, refuse("invalid_client_metadata", "unrecognized field \"resource\"") // Keycloak sends this text
	}
	v := s.Settings()
	if refused := c.check(v); refused != nil {
		return nil, refused
	}
	c.ID, c.Secret, c.token = secret("client"), "", secret("rat")
	if v.Secrets && c.Method == "none" {
		c.Method = "client_secret_basic"
	}
	if strings.HasPrefix(c.Method, "client_secret") {
		c.Secret = secret("cs")
		if v.SecretTTL != 0 {
			c.expires = s.now().Add(v.SecretTTL)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.clients[c.ID] = c
	return c, nil
}

// check fills in the defaults of RFC 7591 §2 and refuses invalid metadata.
func (c *Client) check(v Settings) *oauthError {
	if c.Method == "" {
		c.Method = "client_secret_basic"
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{"authorization_code"}
	}
	if !slices.Contains(v.methods(), c.Method) {
		return refuse("invalid_client_metadata", "token_endpoint_auth_method %q is not supported", c.Method)
	}
	if slices.Contains(c.GrantTypes, "authorization_code") && len(c.RedirectURIs) == 0 {
		return refuse("invalid_redirect_uri", "redirect_uris is missing")
	}
	for _, raw := range c.RedirectURIs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && localHost(u.Host)) {
			return refuse("invalid_redirect_uri", "%q: https, or http on loopback, and no fragment", raw)
		}
		if u.Scheme == "http" && c.Type != "native" {
			return refuse("invalid_redirect_uri", "%q: http is for clients of application_type native", raw)
		}
	}
	for _, scope := range strings.Fields(c.Scope) {
		if known := v.scopes(); len(known) > 0 && !slices.Contains(known, scope) {
			return refuse("invalid_client_metadata", "scope %q is not known", scope)
		}
	}
	return nil
}

// registration returns the registration response (RFC 7591 §3.2.1).
func (s *Server) registration(c *Client) map[string]any {
	data, _ := json.Marshal(c)
	var m map[string]any
	json.Unmarshal(data, &m)
	m["client_id_issued_at"] = s.now().Unix()
	m["registration_client_uri"] = s.Issuer() + "/register/" + c.ID
	m["registration_access_token"] = c.token
	if c.Secret != "" {
		m["client_secret_expires_at"] = 0
		if !c.expires.IsZero() {
			m["client_secret_expires_at"] = c.expires.Unix()
		}
	}
	return m
}

// serveClient reads or deletes a registration (RFC 7592 §2).
func (s *Server) serveClient(w http.ResponseWriter, r *request) {
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	s.mu.Lock()
	c := s.state.clients[id]
	known := c != nil && c.dynamic && r.Header.Get("Authorization") == "Bearer "+c.token
	if known && r.Method == http.MethodDelete {
		delete(s.state.clients, id)
	}
	s.mu.Unlock()
	switch {
	case !known:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		s.writeError(w, r, &oauthError{http.StatusUnauthorized, "invalid_token", "not the registration access token of this client"})
	case r.Method == http.MethodDelete:
		s.count("unregistered")
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, s.registration(c))
	default:
		http.Error(w, "GET or DELETE", http.StatusMethodNotAllowed)
	}
}

// allows reports whether the client may use a redirect URI. A client that registered dynamically must use a registered URI exactly,
// including the port. A pre-registered client without redirect URIs may use any URL on loopback.
func (c *Client) allows(address string) bool {
	if len(c.RedirectURIs) > 0 || c.dynamic {
		return slices.Contains(c.RedirectURIs, address)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	_, _, err = net.SplitHostPort(u.Host)
	return err == nil && localHost(u.Host)
}

// may reports whether the client registered for a grant type.
func (c *Client) may(grantType string) bool {
	return len(c.GrantTypes) == 0 && !c.dynamic || slices.Contains(c.GrantTypes, grantType)
}
