package demo

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Set changes the server at run time. words has one of these forms:
//
//   - a fault: "token:status=503,n=1", see Fault and Help
//   - settings: "ttl=10s,rotate=never", see Settings
//   - an action: "expire" (all access tokens expire now), "revoke" (all grants), "forget" (all registered clients), "deny=N" (401 for the
//     next N MCP requests), "newnonce" (the DPoP nonce changes), "migrate" (a new issuer without registered clients and tokens), "clear"
//     (removes all faults), "reset" (sets the counters to 0 and clears the log)
func (s *Server) Set(words string) error {
	words = strings.TrimSpace(words)
	if endpoint, _, ok := strings.Cut(words, ":"); ok && slices.Contains(Endpoints(), endpoint) {
		f, err := ParseFault(words)
		if err == nil {
			s.Inject(f)
		}
		return err
	}
	pairs, err := splitPairs(words)
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		return fmt.Errorf("nothing to set")
	}
	for _, p := range pairs {
		if err := s.set(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) set(p pair) error {
	switch p.key {
	case "expire":
		s.ExpireAccess()
	case "revoke":
		s.RevokeGrants()
	case "forget":
		s.ForgetClients()
	case "clear":
		s.Clear()
	case "reset":
		s.Reset()
	case "migrate":
		s.Migrate()
	case "newnonce":
		s.newNonce()
	case "deny":
		n, err := strconv.Atoi(orText(p.value, "1"))
		if err != nil {
			return fmt.Errorf("deny=%s: %w", p.value, err)
		}
		s.Deny(n)
	default:
		return s.Change(func(v *Settings) error { return assign(v, p.key, p.value) })
	}
	return nil
}

// Change changes the settings. If change returns an error, the settings are unchanged.
func (s *Server) Change(change func(*Settings) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.settings
	if err := change(&v); err != nil {
		return err
	}
	s.settings = v
	return nil
}

// Help describes the words that Set accepts.
func Help() string {
	return "Actions:\n  expire        make all access tokens expire now\n  revoke        revoke all grants\n  forget        remove all registered clients\n" +
		"  deny=N        401 for the next N MCP requests\n  newnonce      change the DPoP nonce\n  migrate       a new issuer without registered clients and tokens\n" +
		"  clear         remove all faults\n  reset         set the counters to 0 and clear the log\n" +
		"\nSettings, as key=value,key=value:\n" + describe(Settings{}) +
		"\nFaults, as ENDPOINT:key=value,… with ENDPOINT one of " + strings.Join(Endpoints(), ", ") + ":\n" + describe(Fault{}) +
		"  set.NAME=V   put a member into the JSON answer, the redirect (authorize) or the challenge (mcp)\n  del=NAME     remove it\n" +
		"\nor one of these presets instead of a key:\n" + presetHelp()
}

// control handles the requests below /_demo/.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch strings.TrimPrefix(r.URL.Path, "/_demo/") {
	case "set":
		s.controlSet(w, r)
	case "stats":
		stats := s.Counts()
		stats["live"], stats["clients"] = s.Live(), len(s.Clients())
		writeJSON(w, http.StatusOK, stats)
	case "log":
		writeJSON(w, http.StatusOK, s.Requests(q["endpoint"]...))
	case "help":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, Help())
	case "client":
		s.controlClient(w, r)
	case "assertion":
		io.WriteString(w, s.Assertion(q.Get("sub"), duration(q.Get("ttl"))))
	case "actions-token": // for a simulated token service of GitHub Actions
		if q.Get("audience") != s.Issuer() || r.Header.Get("Authorization") != "Bearer runner" {
			http.Error(w, "the audience is not the issuer, or the token is not the runner's", http.StatusForbidden)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"count": 1, "value": s.Assertion("ci-job", time.Minute)})
	case "id-token":
		io.WriteString(w, s.IDToken(q.Get("sub"), duration(q.Get("ttl"))))
	case "wait":
		s.controlWait(w, r)
	default:
		http.NotFound(w, r)
	}
}

// duration parses a duration, or returns 0 if s is not a duration.
func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return d
}

func (s *Server) controlSet(w http.ResponseWriter, r *http.Request) {
	list := r.URL.Query()["q"]
	if body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)); err == nil && len(body) > 0 {
		list = append(list, strings.Split(strings.TrimSpace(string(body)), "\n")...)
	}
	if len(list) == 0 {
		http.Error(w, "nothing to set; see /_demo/help", http.StatusBadRequest)
		return
	}
	for _, words := range list {
		if err := s.Set(words); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) controlClient(w http.ResponseWriter, r *http.Request) {
	var c Client
	if err := decode(r.Body, &c); err != nil || c.ID == "" {
		http.Error(w, fmt.Sprintf("POST a client with client_id: %v", err), http.StatusBadRequest)
		return
	}
	s.AddClient(c)
	w.WriteHeader(http.StatusNoContent)
}

// controlWait responds when a counter has reached a value.
func (s *Server) controlWait(w http.ResponseWriter, r *http.Request) {
	kind, limit := r.URL.Query().Get("kind"), duration(r.URL.Query().Get("timeout"))
	want, err := strconv.Atoi(orText(r.URL.Query().Get("n"), "1"))
	if err != nil || kind == "" {
		http.Error(w, "kind and n are required", http.StatusBadRequest)
		return
	}
	if limit <= 0 {
		limit = 10 * time.Second
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		n, changed := s.changes(kind)
		if n >= want {
			fmt.Fprintln(w, n)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-timer.C:
			http.Error(w, fmt.Sprintf("%s is %d, not %d", kind, n, want), http.StatusRequestTimeout)
			return
		}
	}
}
