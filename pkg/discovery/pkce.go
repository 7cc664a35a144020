package discovery

import (
	"slices"

	"mcpauth/internal/httpx"
)

// checkPKCE returns ErrPKCE if the authorization server does not announce S256. Options.IgnorePKCE turns the check off, and
// Options.AssumePKCES256 turns the error into a Finding.
func (f *finder) checkPKCE() error {
	s := f.r.Server
	if f.o.IgnorePKCE || slices.Contains(s.CodeChallengeMethodsSupported, "S256") { // the default endpoints count as supporting S256
		return nil
	}
	if f.o.AssumePKCES256 {
		return f.recordDeviation(s.Issuer, Finding{stageMetadata, "assume_pkce_s256", "code_challenge_methods_supported does not list S256; it is used because of --assume-pkce-s256", pkceSection}, ErrPKCE)
	}
	why := "code_challenge_methods_supported is missing"
	if len(s.CodeChallengeMethodsSupported) > 0 {
		why = "code_challenge_methods_supported is " + quoteAll(s.CodeChallengeMethodsSupported) + ", without S256"
	}
	return &Error{Stage: stageMetadata, URL: s.Issuer, Reason: httpx.Text(why, 200), Section: pkceSection, Err: ErrPKCE}
}

const pkceSection = "MCP Authorization Code Protection"
