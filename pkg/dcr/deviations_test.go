package dcr

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Each tolerated deviation is reported by its code. With Strict, it is an error.
func TestStrays(t *testing.T) {
	const refused = `{"error":"invalid_client_metadata","error_description":"scope a is not known"}`
	for _, tt := range []struct {
		code    string // empty: none
		replies []reply
	}{
		{"", []reply{{status: 201, body: `{"client_id":"c"}`}}},
		{"", []reply{{status: 201, body: `{"client_id":"c","redirect_uris":["http://127.0.0.1:1/callback"],"token_endpoint_auth_method":"none"}`}}},
		{"", []reply{{status: 201, body: `{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_basic"}`}}},
		{"registration_status", []reply{{status: 200, body: `{"client_id":"c"}`}}},
		{"registration_scope", []reply{{status: 400, body: refused}, {status: 201, body: `{"client_id":"c"}`}}},
		{"registration_redirect_uris", []reply{{status: 201, body: `{"client_id":"c","redirect_uris":["https://other"]}`}}},
		{"registration_redirect_uris", []reply{{status: 201, body: `{"client_id":"c","redirect_uris":"none"}`}}},
		{"registration_auth_method", []reply{{status: 201, body: `{"client_id":"c","client_secret":"s"}`}}},
		{"registration_member_type", []reply{{status: 201, body: `{"client_id":"c","scope":["a"],"registration_client_uri":false}`}}},
		{"registration_member_type", []reply{{status: 201, body: `{"client_id":"c","client_secret_expires_at":"never"}`}}},
		{"registration_auth_method", []reply{{status: 201, body: `{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`}}},
	} {
		var told []string
		o := newRegistrar(t, tt.replies...).options()
		o.Scope, o.Deviation = "a", func(code string) { told = append(told, code) }
		if _, err := Register(context.Background(), o); err != nil || strings.Join(told, " ") != tt.code {
			t.Errorf("%v: told %q (%v), want %q", tt.replies, told, err, tt.code)
		}
		o = newRegistrar(t, tt.replies...).options()
		o.Scope, o.Strict = "a", true
		_, err := Register(context.Background(), o)
		switch {
		case (err == nil) != (tt.code == ""):
			t.Errorf("%v, strict: got %v", tt.replies, err)
		case err != nil && tt.code != "registration_scope" && (!errors.Is(err, ErrDeviation) || !strings.Contains(err.Error(), "RFC 7591 §3.2.1")):
			t.Errorf("%v, strict: %v names no section", tt.replies, err)
		}
	}
}
