package flow

import (
	"errors"
	"net/url"
	"testing"

	"mcpauth/pkg/discovery"
)

// The query of the authorization endpoint cannot contain another form of a parameter that the request sets, such as one of --auth-param or
// access_type for Google, or a parameter that the user removed. Honest servers put prompt into the query.
func TestEndpointRepeatsAParameter(t *testing.T) {
	params := url.Values{"client_id": {"c"}, "audience": {"https://good.example"}, "access_type": {"offline"}, "prompt": {"consent"}}
	for query, ok := range map[string]bool{
		"audience[]=evil": false, "Audience=evil": false, "a;audience=evil": false, "[audience]=evil": false, "access.type=online": false, "audience=evil": false,
		"prompt[]=none": false, "Prompt=none": false, "prompt=none;audience=evil": false, "%70rompt=none": false, "prompt=login&audience=evil": false,
		"audience=https://good.example": true, "audience=https%3A%2F%2Fgood.example": true, "access_type=offline&tenant=a": true, "audience=https://good.example;audience=evil": false,
		"audience=https://good.example&audience=evil": false, "Audience=https://good.example": false, "audience%00=https://good.example": false,
		"prompt=login": true, "tenant=a": true, "audiences=a": true, "": true, "display=page": false, "acr_values=a": true,
	} {
		d := loginDraft{t: Target{URL: "https://mcp.example/mcp", Settings: Settings{AuthParams: [][2]string{{"display", ""}, {"prompt", "consent"}}}}, found: &discovery.Result{Server: discovery.ServerMetadata{AuthorizationEndpoint: "https://as.example/authorize?" + query}}}
		u, err := endpointURL(d, params)
		if (err == nil) != ok || !ok && !errors.Is(err, discovery.ErrIssuer) {
			t.Errorf("%q: %v", query, err)
		}
		if ok && (u.Query().Has("prompt") || u.Query().Has("audience") || u.Query().Has("access_type")) { // would remain beside a request_uri
			t.Errorf("%q: the URL is %s", query, u)
		}
	}
}

// A parameter that the user removed with --auth-param NAME= stays removed, also prompt.
func TestEndpointReturnsARemovedParameter(t *testing.T) {
	d := loginDraft{t: Target{URL: "https://mcp.example/mcp", Settings: Settings{AuthParams: [][2]string{{"prompt", ""}}}},
		found: &discovery.Result{Server: discovery.ServerMetadata{AuthorizationEndpoint: "https://as.example/authorize?prompt=none"}}}
	if _, err := endpointURL(d, url.Values{}); !errors.Is(err, ErrAuthParam) || !errors.Is(err, discovery.ErrIssuer) {
		t.Error(err)
	}
}
