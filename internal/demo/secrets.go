package demo

import (
	"slices"
	"strings"
)

// Secrets returns every secret that the server has issued or received: tokens, codes, verifiers, client secrets, assertions and proofs.
func (s *Server) Secrets() []string {
	seen := map[string]bool{}
	for _, e := range s.Requests() {
		for name, values := range e.Form {
			if slices.Contains(secretFields(), name) {
				for _, v := range values {
					seen[v] = true
				}
			}
		}
		if _, credentials, ok := strings.Cut(e.Header.Get("Authorization"), " "); ok {
			seen[credentials] = true
		}
		seen[e.Header.Get("Dpop")] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.state.access {
		seen[token] = true
	}
	for token := range s.state.refresh {
		seen[token] = true
	}
	for _, token := range s.state.idTokens {
		seen[token] = true
	}
	for code := range s.state.codes {
		seen[code] = true
	}
	for code := range s.state.devices {
		seen[code] = true
	}
	for _, c := range s.state.clients {
		seen[c.token] = true
		if c.dynamic {
			seen[c.Secret] = true
		}
	}
	delete(seen, "")
	list := make([]string, 0, len(seen))
	for secret := range seen {
		list = append(list, secret)
	}
	slices.Sort(list)
	return list
}

// secretFields returns the names of the parameters whose values are secrets.
func secretFields() []string {
	return []string{"code", "code_verifier", "refresh_token", "client_secret", "client_assertion", "assertion", "subject_token",
		"actor_token", "token", "device_code", "access_token"}
}
