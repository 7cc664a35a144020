package discovery

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Discover records a code for each tolerated deviation. In Review, the deviation replaces the check of the same rule. With Strict, Discover
// returns the deviation as an error.
func TestDeviations(t *testing.T) {
	withPKCE := func(s string) string { return strings.Replace(asm, `"ORIGIN"`, s, 1) }
	for _, tt := range []struct {
		code    string
		pages   map[string]string
		o       Options
		section string
		is      error
	}{
		{"no_challenge", base(), Options{}, "RFC 6750 §3", nil},
		{"resource_metadata_dead", base("/mcp", unauthAt+`Bearer resource_metadata="ORIGIN/gone"`), Options{}, "RFC 9728 §5.1", nil},
		{"well_known_failed", challenged(prmPath+"/mcp", fail500, prmPath, prm), Options{}, "RFC 9728 §3.2", nil},
		{"well_known_failed", challenged(asPath, html, oidPath, asm), Options{}, "RFC 8414 §3.2", nil},
		{"well_known_failed", challenged(asPath, moved, "/moved", html, oidPath, asm), Options{}, "RFC 8414 §3.2", nil},
		{"content_type", challenged(prmPath+"/mcp", plain+prm), Options{}, "RFC 9728 §3.2", nil},
		{"content_type", challenged(asPath, plain+asm), Options{}, "RFC 8414 §3.2", nil},
		{"resource_query", challenged(prmPath+"/mcp", strings.Replace(prm, "/mcp", "/mcp?x=1", 1)), Options{}, "RFC 9728 §3.3", ErrResource},
		{"resource_slash", challenged(prmPath+"/mcp", strings.Replace(prm, "/mcp", "/mcp/", 1)), Options{}, "RFC 9728 §3.3", ErrResource},
		{"resource_parent", challenged(prmPath+"/mcp", strings.Replace(prm, "/mcp", "", 1)), Options{}, "RFC 9728 §3.3", ErrResource},
		{"issuer_slash", challenged(asPath, withPKCE(`"ORIGIN/"`)), Options{}, "RFC 8414 §3.3", ErrIssuer},
		{"legacy_2025_03_26", with(map[string]string{"/mcp": unauthAt + "Bearer", asPath: asm}), Options{}, "MCP Authorization Server Location", nil},
		{"default_endpoints", with(map[string]string{"/mcp": unauthAt + "Bearer"}), Options{}, "MCP Authorization Server Location", nil},
		{"member_type", challenged(prmPath+"/mcp", strings.Replace(prm, `["read"]`, `"read"`, 1)), Options{}, "RFC 9728 §2", nil},
		{"member_type", challenged(asPath, strings.TrimSuffix(asm, "}")+`,"revocation_endpoint":1}`), Options{}, "RFC 8414 §2", nil},
		{"scope_characters", challenged(prmPath+"/mcp", strings.Replace(prm, `"read"`, `"read","a\u2800b"`, 1)), Options{}, "RFC 6749 §3.3", nil},
		{"scope_characters", base("/mcp", unauthAt+`Bearer resource_metadata="ORIGIN`+prmPath+`/mcp", scope="read a⠀b"`), Options{}, "RFC 6749 §3.3", nil},
		{"scope_characters", challenged(prmPath+"/mcp", strings.Replace(prm, `"read"`, `"read","--header=X-Key:@id_rsa"`, 1)), Options{}, "RFC 6749 §3.3", nil},
		{"scope_characters", base("/mcp", unauthAt+`Bearer resource_metadata="ORIGIN`+prmPath+`/mcp", scope="read -q"`), Options{}, "RFC 6749 §3.3", nil},
		{"scope_characters", challenged(prmPath+"/mcp", strings.Replace(prm, `"read"`, `"read","key:[redacted]"`, 1)), Options{}, "RFC 6749 §3.3", nil},
		{"issuer_given", challenged(prmPath+"/mcp", `{"resource":"ORIGIN/mcp"}`), Options{Issuer: "ORIGIN"}, "MCP Authorization Server Location", ErrUnnamed},
		{"assume_pkce_s256", challenged(asPath, strings.Replace(asm, "S256", "plain", 1)), Options{AssumePKCES256: true}, "MCP Authorization Code Protection", ErrPKCE},
	} {
		s := newSite(t, tt.pages)
		tt.o.Issuer = strings.ReplaceAll(tt.o.Issuer, "ORIGIN", s.URL)
		r, err := discover(t, s, tt.o)
		if err != nil || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == tt.code }) {
			t.Errorf("%s: got %v, %v", tt.code, r.Findings, err)
			continue
		}
		if checks := Review(r, nil); !slices.ContainsFunc(checks, func(c Check) bool { return c.Code == tt.code && c.State == Tolerated && c.Section != "" }) {
			t.Errorf("%s: not among the checks %v", tt.code, checks)
		}
		tt.o.Strict = true
		_, err = discover(t, s, tt.o)
		var e *Error
		if !errors.As(err, &e) || e.Section != tt.section || tt.is != nil && !errors.Is(err, tt.is) || e.URL == "" && e.Attempts == nil {
			t.Errorf("%s, strict: got %v, want an error by %s that names what was tried", tt.code, err, tt.section)
		}
	}
}

// challenged returns the pages of a server without deviations; the arguments replace or add pages.
func challenged(more ...string) map[string]string {
	return base(append([]string{"/mcp", unauthAt + `Bearer resource_metadata="ORIGIN` + prmPath + `/mcp", scope="read"`}, more...)...)
}

// With Strict, a server without deviations passes, and Review returns only passed checks.
func TestReviewOfAGoodServer(t *testing.T) {
	good := strings.Replace(asm, `"token_endpoint"`, `"response_types_supported":["code"],"registration_endpoint":"ORIGIN/r","revocation_endpoint":"ORIGIN/v",
		"token_endpoint_auth_methods_supported":["none"],"authorization_response_iss_parameter_supported":true,"token_endpoint"`, 1)
	r, err := discover(t, newSite(t, challenged(asPath, good)), Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, c := range Review(r, nil) {
		if c.State != Passed || c.Message == "" || c.Section == "" {
			t.Errorf("got %+v", c)
		}
		codes = append(codes, c.Code)
	}
	want := []string{"unauthorized", "challenge", "challenge_resource_metadata", "challenge_scope", "resource_metadata", "resource", "authorization_servers",
		"resource_scopes", "server_metadata", "issuer", "endpoints", "pkce", "response_types", "registration", "public_clients", "iss", "renewal", "revocation"}
	if !slices.Equal(codes, want) {
		t.Errorf("codes:\ngot  %q\nwant %q", codes, want)
	}
}

// Review reports an absent feature as Missing, with its consequence. The last check has the state Failed and contains the error that ended
// the discovery.
func TestReviewOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name          string
		pages         map[string]string
		missing, last string
	}{
		{"nothing but what must be", base("/mcp", unauthAt+"Bearer", prmPath+"/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["ORIGIN"]}`),
			"challenge_resource_metadata challenge_scope resource_scopes response_types registration public_clients iss revocation", ""},
		{"another issuer", challenged(asPath, `{"issuer":"https://other.example"}`), "", "issuer"},
		{"another resource", challenged(prmPath+"/mcp", `{"resource":"https://other.example"}`), "", "resource"},
		{"no promise of PKCE", challenged(asPath, strings.Replace(asm, "S256", "plain", 1)), "response_types registration public_clients iss revocation", "pkce"},
		{"nothing works", challenged(asPath, fail500, oidPath, fail500), "", "authorization_server_metadata"},
		{"open, with no authorization server", map[string]string{"/mcp": "{}"}, "unauthorized", "server"},
	} {
		r, err := discover(t, newSite(t, tt.pages), Options{})
		var missing []string
		last := ""
		checks := Review(r, err)
		for i, c := range checks {
			switch c.State {
			case Missing:
				missing = append(missing, c.Code)
			case Failed:
				if last = c.Code; i != len(checks)-1 {
					t.Errorf("%s: %+v is not the last check", tt.name, c)
				}
			}
		}
		if got := strings.Join(missing, " "); got != tt.missing || last != tt.last || (err == nil) != (last == "") {
			t.Errorf("%s: missing %q, failed %q (%v); want %q, %q", tt.name, got, last, err, tt.missing, tt.last)
		}
	}
}
