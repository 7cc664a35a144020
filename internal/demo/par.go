package demo

import (
	"net/http"
	"net/url"
	"time"
)

const (
	requestURIPrefix   = "urn:ietf:params:oauth:request_uri:"
	requestURILifetime = time.Minute
)

// pushed is a pushed authorization request that no browser has used yet.
type pushed struct {
	form    url.Values
	expires time.Time
}

// servePAR is the pushed authorization request endpoint (RFC 9126). The endpoint accepts a DPoP proof (RFC 9449 §10.1).
func (s *Server) servePAR(w http.ResponseWriter, r *request) {
	form, refused := s.readPAR(w, r)
	if refused != nil {
		s.writeError(w, r, refused)
		return
	}
	id := requestURIPrefix + secret("par")
	s.mu.Lock()
	s.state.pushed[id] = &pushed{form: form, expires: s.now().Add(requestURILifetime)}
	s.mu.Unlock()
	s.count("pushed")
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": id, "expires_in": int(requestURILifetime.Seconds())})
}

// readPAR makes the checks of the authorization endpoint on the pushed request (RFC 9126 §2.1).
func (s *Server) readPAR(w http.ResponseWriter, r *request) (url.Values, *oauthError) {
	if v := s.Settings(); v.PAR != "offer" && v.PAR != "require" {
		return nil, &oauthError{http.StatusNotFound, "invalid_request", "pushed authorization requests are not offered"}
	}
	t, refused := s.readToken(w, r)
	if refused != nil {
		return nil, refused
	}
	form := url.Values{}
	for name, values := range t.form {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			form[name] = values
		}
	}
	if form.Has("request_uri") {
		return nil, refuse("invalid_request", "request_uri is not for pushed requests (RFC 9126 section 2.1)")
	}
	form.Set("client_id", t.client.ID)
	a, page := s.findClient(form)
	if page != "" {
		return nil, refuse("invalid_request", "%s", page)
	}
	if key := form.Get("dpop_jkt"); key != "" && t.key != "" && key != t.key {
		return nil, refuse("invalid_dpop_proof", "dpop_jkt is not the key of the proof (RFC 9449 section 10.1)")
	}
	if t.key != "" {
		form.Set("dpop_jkt", t.key)
	}
	return form, s.checkAuthorize(a, form)
}

// pulled returns the parameters of an authorization request. If form has a request_uri, pulled returns the pushed parameters, or else form.
// A request_uri can be used once. If the request is not valid, page is the text to show.
func (s *Server) pulled(form url.Values) (request url.Values, page string) {
	id := form.Get("request_uri")
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		if s.settings.PAR == "require" {
			page = "This server only takes pushed authorization requests (RFC 9126)."
		}
		return form, page
	}
	p := s.state.pushed[id]
	delete(s.state.pushed, id)
	if p == nil || !s.now().Before(p.expires) || p.form.Get("client_id") != form.Get("client_id") {
		return nil, "request_uri is unknown, used, expired, or another client's (RFC 9126 section 4)."
	}
	return p.form, ""
}
