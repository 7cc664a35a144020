package dcr

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// CheckDocumentURL checks the URL of a client ID metadata document, which is also the client ID. The URL must use https, have a path, and
// contain no fragment, credentials or dot segments (draft-ietf-oauth-client-id-metadata-document-00 §3; MCP, Client ID Metadata Documents).
func CheckDocumentURL(address string) error {
	u, err := httpx.Check(address, false)
	if err != nil {
		return fmt.Errorf("client metadata document: %w", err)
	}
	dotted := func(segment string) bool { return segment == "." || segment == ".." }
	if strings.Trim(u.Path, "/") == "" || slices.ContainsFunc(strings.Split(u.Path, "/"), dotted) {
		return fmt.Errorf("client metadata document %s: the address needs a path without dot segments (client ID metadata document §3)", address)
	}
	return nil
}

// Document returns the client ID metadata document to publish at address. An empty name means "mcpauth".
func Document(address string, redirectURIs []string, name string) ([]byte, error) {
	if err := CheckDocumentURL(address); err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"client_id": address, "client_name": cmp.Or(name, "mcpauth"), "redirect_uris": redirectURIs, "application_type": "native",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "none",
		"token_endpoint_auth_methods_supported": []string{"none"}, // SEP-3149 replaces the singular by this member
	}, "", "  ")
}
