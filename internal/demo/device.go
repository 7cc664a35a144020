package demo

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"
)

const deviceLifetime = 5 * time.Minute

// device is the state of one device code.
type device struct {
	userCode string
	client   string
	resource string
	scopes   []string
	expires  time.Time
	interval time.Duration
	polled   time.Time // time of the latest poll; zero: none yet
	polls    int
	decision string // "approve" or "deny"; empty: the user has not decided yet
}

// serveDeviceAuthorization issues a device code (RFC 8628 §3.1, §3.2).
func (s *Server) serveDeviceAuthorization(w http.ResponseWriter, r *request) {
	d, id, refused := s.newDevice(r)
	if refused != nil {
		s.writeError(w, r, refused)
		return
	}
	page := s.Issuer() + "/device"
	writeJSON(w, http.StatusOK, map[string]any{"device_code": id, "user_code": d.userCode, "verification_uri": page,
		"verification_uri_complete": page + "?user_code=" + d.userCode, "expires_in": int(d.expires.Sub(s.now()) / time.Second),
		"interval": int(d.interval / time.Second)})
}

func (s *Server) newDevice(r *request) (*device, string, *oauthError) {
	if r.Method != http.MethodPost || r.entry.Form == nil {
		return nil, "", refuse("invalid_request", "POST a form (RFC 8628 section 3.1)")
	}
	c, refused := s.authenticate(r)
	if refused != nil {
		return nil, "", refused
	}
	if !c.may(grantDevice) {
		return nil, "", refuse("unauthorized_client", "this client did not register for grant_type %s", grantDevice)
	}
	v := s.Settings()
	d := &device{client: c.ID, expires: s.now().Add(deviceLifetime), interval: time.Duration(max(1, v.Interval)) * time.Second}
	if d.resource, refused = s.checkResource(r.entry.Form["resource"], ""); refused != nil {
		return nil, "", refused
	}
	if d.scopes, refused = v.checkScope(r.entry.Form.Get("scope"), c.Scope); refused != nil {
		return nil, "", refused
	}
	text := rand.Text()
	d.userCode = text[:4] + "-" + text[4:8]
	id := secret("dc")
	s.mu.Lock()
	s.state.devices[id] = d
	s.mu.Unlock()
	return d, id, nil
}

// serveDevice is the page on which the user enters the user code. If the URL contains the code, the page only asks for approval.
func (s *Server) serveDevice(w http.ResponseWriter, r *request) {
	if r.Method != http.MethodPost {
		showPage(w, http.StatusOK, pageData{Title: "Connect a device", Text: "Type in the code that the device shows.", Action: "device",
			Code: orText(r.URL.Query().Get("user_code"), "ABCD-EFGH"), Typed: r.URL.Query().Get("user_code")})
		return
	}
	given, decision := r.entry.Form.Get("user_code"), r.entry.Form.Get("decision")
	if s.decideDevice(given, decision) {
		showPage(w, http.StatusOK, pageData{Title: "Done", Text: "You can go back to the device."})
		return
	}
	showPage(w, http.StatusBadRequest, pageData{Title: "Unknown code", Text: "That code is not known here, or it is too late."})
}

// decideDevice records the user's decision. Case, spaces and hyphens in the user code are ignored (RFC 8628 §6.1).
func (s *Server) decideDevice(userCode, decision string) bool {
	plain := func(c string) string { return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(c)) }
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.state.devices {
		if plain(d.userCode) == plain(userCode) && s.now().Before(d.expires) {
			d.decision = orText(decision, "approve")
			return true
		}
	}
	return false
}

// redeemDevice answers a poll (RFC 8628 §3.4, §3.5).
func (s *Server) redeemDevice(t *tokenRequest) (*tokenAnswer, *oauthError) {
	id := t.form.Get("device_code")
	s.mu.Lock()
	d := s.state.devices[id]
	if d == nil || d.client != t.client.ID {
		s.mu.Unlock()
		return nil, refuse("invalid_grant", "the device code is unknown, or another client's")
	}
	refused := d.poll(s.now(), s.settings.Device)
	if refused != nil {
		s.mu.Unlock()
		return nil, refused
	}
	delete(s.state.devices, id)
	g := s.newGrant(grantDevice, d.client, orText(s.settings.User, "demo-user"), d.resource, d.scopes)
	g.key = t.key
	s.mu.Unlock()
	s.count("approve", "login")
	return s.issue(g, t, true), nil
}

// poll returns the error for a poll at the given time, or nil if the client receives its tokens.
func (d *device) poll(now time.Time, how string) *oauthError {
	early := !d.polled.IsZero() && now.Sub(d.polled) < d.interval-100*time.Millisecond
	d.polled = now
	d.polls++
	if how == "slow" && d.polls == 1 {
		early = true
	}
	switch {
	case !now.Before(d.expires) || how == "expire":
		return refuse("expired_token", "nobody decided in time")
	case d.decision == "deny" || how == "deny" && d.polls > 1:
		return refuse("access_denied", "the user said no")
	case early:
		d.interval += 5 * time.Second
		return refuse("slow_down", "too fast: once in %s", d.interval)
	case d.decision == "approve", how != "wait" && d.polls > 1:
		return nil
	}
	return refuse("authorization_pending", "nobody has decided yet")
}
