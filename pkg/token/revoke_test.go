package token

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
)

// The revocation request (RFC 7009 §2.1). The client authenticates as at the token endpoint.
func TestRevoke(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client ClientAuth
		hint   string
		header map[string]string
		form   map[string]string
	}{
		{"public client", ClientAuth{ID: "c"}, "refresh_token", nil, map[string]string{"client_id": "c", "token_type_hint": "refresh_token"}},
		{"basic", ClientAuth{ID: "a", Secret: "b", Method: "client_secret_basic"}, "access_token", map[string]string{"Authorization": "Basic YTpi"}, map[string]string{"token_type_hint": "access_token"}},
		{"post", ClientAuth{ID: "a", Secret: "b", Method: "client_secret_post"}, "refresh_token", nil, map[string]string{"client_id": "a", "client_secret": "b", "token_type_hint": "refresh_token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, reply{contentType: "text/plain"})
			e := s.endpoint()
			e.Client, e.DPoP = tt.client, newTestProver(t)
			if err := e.Revoke(context.Background(), s.URL+"/revoke?x=1", "to+ken/1", tt.hint); err != nil {
				t.Fatal(err)
			}
			got := s.only(t)
			if got.Method != "POST" || got.URI != "/revoke?x=1" {
				t.Errorf("got %s %s", got.Method, got.URI)
			}
			header := maps.Clone(plainHeaders)
			maps.Copy(header, tt.header)
			wantHeaders(t, got.Header, header)
			tt.form["token"] = "to+ken/1"
			wantForm(t, got.Form, tt.form)
		})
	}
}

func TestRevokeAnswers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply reply
		ok    bool
		code  string
	}{
		{"200: §2.2", reply{}, true, ""},
		{"200 with whatever: §2.2", reply{contentType: "text/html", body: "<p>bye"}, true, ""},
		{"200 with JSON", reply{body: `{"ok":true}`}, true, ""},
		{"204", reply{status: 204}, true, ""},
		{"unsupported_token_type: §2.2.1", reply{status: 400, body: `{"error":"unsupported_token_type"}`}, false, "unsupported_token_type"},
		{"503: §2.2.1", reply{status: 503, header: map[string]string{"Retry-After": "9"}}, false, ""},
		{"404", reply{status: 404, contentType: "text/plain", body: "canary-000"}, false, ""},
		{"200 with an error", reply{body: `{"ok":false,"error":"invalid_auth"}`}, false, "invalid_auth"},
		{"a redirect", reply{status: 302, header: map[string]string{"Location": "/login"}}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.reply)
			err := s.endpoint().Revoke(context.Background(), s.URL+"/revoke", "canary-000", "refresh_token")
			var refused *Error
			if (err == nil) != tt.ok || !tt.ok && (!errors.As(err, &refused) || refused.Code != tt.code || refused.Stage != "revocation endpoint" || refused.URL != s.URL+"/revoke") {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || !strings.HasPrefix(err.Error(), "revocation endpoint "+s.URL+"/revoke: ")) {
				t.Errorf("got %q", err)
			}
		})
	}
	if err := (Endpoint{}).Revoke(context.Background(), "http://as.example/revoke", "t", "refresh_token"); err == nil {
		t.Error("a token went over http")
	}
}
