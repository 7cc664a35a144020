package demo

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const codeLifetime = time.Minute

// approval is an authorization request that passed all checks and waits for the user's decision.
type approval struct {
	client      *Client
	redirectURI string
	state       string
	challenge   string
	resource    string
	key         string // dpop_jkt
	nonce       string // OpenID Connect Core §3.1.2.1
	scopes      []string
	user        string
	browser     string // session of the browser
}

// serveAuthorize is the authorization endpoint (RFC 6749 §4.1.1) with PKCE (RFC 7636 §4.3), the resource parameter (RFC 8707 §2.1) and iss
// (RFC 9207). The request is approved at once, or a page is shown.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *request) {
	form := r.URL.Query()
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		if ticket := r.entry.Form.Get("ticket"); ticket != "" {
			s.decide(w, r, ticket)
			return
		}
		form = r.entry.Form // RFC 6749 §3.1: an authorization server may support POST too
	default:
		http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
		return
	}
	form, page := s.pulled(form)
	var a *approval
	if page == "" {
		a, page = s.findClient(form)
	}
	if page != "" { // RFC 6749 §4.1.2.1: never redirect to an address that is not the client's
		s.note(r.entry, "page")
		showPage(w, http.StatusBadRequest, pageData{Title: "This request cannot be answered", Text: page})
		return
	}
	a.browser = s.browserSession(w, r)
	if refused := s.checkAuthorize(a, form); refused != nil {
		s.note(r.entry, refused.code)
		s.redirect(w, r, a, url.Values{"error": {refused.code}, "error_description": {refused.description}})
		return
	}
	if s.Settings().Interactive {
		s.ask(w, a)
		return
	}
	s.approve(w, r, a)
}

// findClient checks the client and its redirect URI. If the client or the redirect URI is wrong, the server must not redirect, so
// findClient returns the text of an error page.
func (s *Server) findClient(form url.Values) (*approval, string) {
	c, refused := s.lookup(form.Get("client_id"))
	if refused != nil {
		return nil, refused.description
	}
	address := form.Get("redirect_uri")
	if address == "" && len(c.RedirectURIs) == 1 {
		address = c.RedirectURIs[0]
	}
	if !c.allows(address) {
		return nil, "redirect_uri is not one of those registered for this client."
	}
	return &approval{client: c, redirectURI: address, state: form.Get("state")}, ""
}

// checkAuthorize checks all parameters except the client and the redirect URI. The server sends errors in these parameters to the redirect
// URI.
func (s *Server) checkAuthorize(a *approval, form url.Values) *oauthError {
	v := s.Settings()
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return refuse("invalid_request", "%s is given twice (RFC 6749 section 3.1)", name)
		}
	}
	a.challenge, a.key, a.nonce, a.user = form.Get("code_challenge"), form.Get("dpop_jkt"), form.Get("nonce"), orText(v.User, "demo-user")
	switch {
	case form.Get("response_type") != "code":
		return refuse("unsupported_response_type", "response_type must be code")
	case !a.client.may("authorization_code"):
		return refuse("unauthorized_client", "this client did not register for authorization_code")
	case form.Get("code_challenge_method") != "S256" || len(a.challenge) != 43:
		return refuse("invalid_request", "code_challenge with code_challenge_method S256 is required (RFC 7636)")
	}
	var refused *oauthError
	if a.resource, refused = s.checkResource(form["resource"], ""); refused != nil {
		return refused
	}
	a.scopes, refused = v.checkScope(form.Get("scope"), a.client.Scope)
	return refused
}

// checkResource returns the resource that the request names (RFC 8707 §2). bound is the resource of the grant; empty: there is no grant
// yet.
func (s *Server) checkResource(given []string, bound string) (string, *oauthError) {
	all, rule := s.resources(), s.Settings().Resource
	switch {
	case len(given) > 1:
		return "", refuse("invalid_target", "one resource, please")
	case rule == "refuse" && len(given) == 1:
		return "", refuse("invalid_target", "AADSTS9010010: the resource parameter provided in the request doesn't match with the requested scopes")
	case len(given) == 0 && (rule == "optional" || rule == "refuse"):
		return orText(bound, all[0]), nil
	case len(given) == 0:
		return "", refuse("invalid_target", "resource is missing (RFC 8707)")
	case !slices.Contains(all, given[0]):
		return "", refuse("invalid_target", "resource %q is not known here", given[0])
	case bound != "" && bound != given[0]:
		return "", refuse("invalid_target", "resource %q was not granted", given[0])
	}
	return given[0], nil
}

// checkScope returns the scopes of a scope parameter. Every scope must be known to the server. If the client registered a scope, every
// requested scope must be part of it.
func (v Settings) checkScope(given, registered string) ([]string, *oauthError) {
	scopes := strings.Fields(given)
	for _, scope := range scopes {
		if known := v.scopes(); len(known) > 0 && !slices.Contains(known, scope) {
			return nil, refuse("invalid_scope", "scope %q is not known", scope)
		}
		if registered != "" && !slices.Contains(strings.Fields(registered), scope) {
			return nil, refuse("invalid_scope", "the client did not register for scope %q", scope)
		}
	}
	if len(scopes) == 0 {
		scopes = v.base()
	}
	return v.granted(scopes), nil
}

// lookup returns the client with an ID. If the ID is a URL, lookup fetches the client ID metadata document.
func (s *Server) lookup(id string) (*Client, *oauthError) {
	s.mu.Lock()
	c := s.state.clients[id]
	documents := s.settings.Documents
	s.mu.Unlock()
	switch {
	case c != nil:
		return c, nil
	case documents != "" && documents != "no" && strings.Contains(id, "://"):
		return s.fetchDocument(id, documents == "loopback")
	}
	return nil, &oauthError{http.StatusUnauthorized, "invalid_client", "The client is not known here."}
}

// approve redirects the browser with an authorization code.
func (s *Server) approve(w http.ResponseWriter, r *request, a *approval) {
	s.mu.Lock()
	g := s.newGrant("authorization_code", a.client.ID, a.user, a.resource, a.scopes)
	g.browser, g.nonce = a.browser, a.nonce
	value := secret("code")
	s.state.codes[value] = &code{grant: g, challenge: a.challenge, redirectURI: a.redirectURI, expires: s.now().Add(codeLifetime), key: a.key}
	s.mu.Unlock()
	s.count("approve")
	s.redirect(w, r, a, url.Values{"code": {value}})
}

// browserSession returns the session of the browser, and starts one if there is none. Browsers send cookies to all ports of a host, so the
// cookie's name contains the port.
func (s *Server) browserSession(w http.ResponseWriter, r *request) string {
	name := "demo_session_" + s.asOrigin[strings.LastIndexByte(s.asOrigin, ':')+1:]
	if c, err := r.Cookie(name); err == nil && c.Value != "" {
		return c.Value
	}
	session := secret("session")
	http.SetCookie(w, &http.Cookie{Name: name, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 14 * 24 * 3600})
	return session
}

// redirect sends the browser to the redirect URI, with state and iss.
func (s *Server) redirect(w http.ResponseWriter, r *request, a *approval, q url.Values) {
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		http.Error(w, "bad redirect address", http.StatusBadRequest)
		return
	}
	for name, values := range u.Query() {
		q[name] = append(q[name], values...)
	}
	if a.state != "" {
		q.Set("state", a.state)
	}
	q.Set("iss", s.Issuer())
	u.RawQuery = q.Encode()
	http.Redirect(w, r.Request, u.String(), http.StatusFound)
}

// ask shows the page with the buttons. The ticket in the page identifies the request.
func (s *Server) ask(w http.ResponseWriter, a *approval) {
	ticket := secret("ticket")
	s.mu.Lock()
	s.state.pages[ticket] = a
	s.mu.Unlock()
	name := orText(a.client.Name, a.client.ID)
	showPage(w, http.StatusOK, pageData{Title: "Allow access?", Text: name + " wants to use " + a.resource + " as " + a.user + ".",
		Scopes: a.scopes, Ticket: ticket, Action: "authorize"})
}

// decide handles a press on one of the buttons.
func (s *Server) decide(w http.ResponseWriter, r *request, ticket string) {
	s.mu.Lock()
	a := s.state.pages[ticket]
	delete(s.state.pages, ticket)
	s.mu.Unlock()
	switch {
	case a == nil:
		showPage(w, http.StatusBadRequest, pageData{Title: "Too late", Text: "This page was answered before."})
	case r.entry.Form.Get("decision") == "approve":
		s.approve(w, r, a)
	default:
		s.redirect(w, r, a, url.Values{"error": {"access_denied"}, "error_description": {"the user said no"}})
	}
}

// pageData is the content of the page.
type pageData struct {
	Title, Text string
	Scopes      []string
	Ticket      string // empty: no buttons
	Action      string // URL to which the form is sent
	Code, Typed string // for the field of the user code: Code is an example, Typed is the initial value
}

func showPage(w http.ResponseWriter, status int, data pageData) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	template.Must(template.New("page").Parse(page)).Execute(w, data)
}

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 30rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.4rem } li { font-family: ui-monospace, monospace }
button, input { font: inherit; padding: .5rem 1.2rem; border-radius: .4rem; border: 1px solid GrayText; margin-right: .5rem }
button[value=approve] { background: #2563eb; color: #fff; border-color: #2563eb }
p { overflow-wrap: anywhere } small { color: GrayText }
</style></head>
<body><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{with .Scopes}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{if .Ticket}}<form method="post" action="{{.Action}}"><input type="hidden" name="ticket" value="{{.Ticket}}">
<button name="decision" value="approve">Allow</button><button name="decision" value="deny">Deny</button></form>{{end}}
{{if .Code}}<form method="post" action="{{.Action}}"><input name="user_code" autocomplete="off" autofocus placeholder="{{.Code}}" value="{{.Typed}}">
<button name="decision" value="approve">Allow</button><button name="decision" value="deny">Deny</button></form>{{end}}
<p><small>mcpauth demo server, on this machine only</small></p></body></html>
`
