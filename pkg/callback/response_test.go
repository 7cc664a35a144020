package callback

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// The table in MCP Authorization Response Validation, and further rules for authorization responses.
func TestParse(t *testing.T) {
	iss := "&iss=" + url.QueryEscape(issuer)
	for _, tt := range []struct {
		name, answer string
		announced    bool
		code         string
		err          error
	}{
		{name: "announced and right", answer: "code=c&state=s-1" + iss, announced: true, code: "c"},
		{name: "announced and absent", answer: "code=c&state=s-1", announced: true, err: ErrIssuer},
		{name: "announced and empty", answer: "code=c&state=s-1&iss=", announced: true, err: ErrIssuer},
		{name: "unannounced and right", answer: "code=c&state=s-1" + iss, code: "c"},
		{name: "unannounced and wrong", answer: "code=c&state=s-1&iss=https://evil.example.com", err: ErrIssuer},
		{name: "unannounced and absent", answer: "code=c&state=s-1", code: "c"},
		{name: "differs by a slash", answer: "code=c&state=s-1" + iss + "%2F", announced: true, err: ErrIssuer},
		{name: "differs by case", answer: "code=c&state=s-1&iss=https://AS.example.com", announced: true, err: ErrIssuer},
		{name: "differs by the default port", answer: "code=c&state=s-1&iss=https://as.example.com:443", announced: true, err: ErrIssuer},
		{name: "differs by percent-encoding", answer: "code=c&state=s-1&iss=https://as.example.com%252F", announced: true, err: ErrIssuer},
		{name: "iss twice", answer: "code=c&state=s-1" + iss + iss, announced: true, err: ErrMalformed},
		{name: "foreign state", answer: "code=c&state=s-2" + iss, announced: true, err: ErrState},
		{name: "code twice", answer: "code=c&code=d&state=s-1" + iss, announced: true, err: ErrMalformed},
		{name: "neither code nor error", answer: "state=s-1" + iss, announced: true, err: ErrMalformed},
		{name: "whole address", answer: " http://127.0.0.1:1/callback?code=c&state=s-1" + iss + "\n", announced: true, code: "c"},
		{name: "whole address with a fragment", answer: "http://127.0.0.1:1/callback?code=c&state=s-1" + iss + "#_=_", announced: true, code: "c"},
		{name: "query with its question mark", answer: "?code=c&state=s-1" + iss, announced: true, code: "c"},
		{name: "a bare code", answer: "abc123", err: ErrBareCode},
		{name: "a code without its state", answer: "code=abc123", err: ErrBareCode},
		{name: "nothing", answer: "", err: ErrBareCode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, err := Parse(tt.answer, Expect{State: "s-1", Issuer: issuer, IssRequired: tt.announced})
			if code != tt.code || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", code, err, tt.code, tt.err)
			}
		})
	}
}

// If iss does not match, no other parameter of the response is used or shown (MCP authorization).
func TestErrorOfAForeignIssuerIsNotShown(t *testing.T) {
	_, err := Parse("state=s-1&iss=https://evil.example.com&error=canary&error_description=canary", expect)
	if !errors.Is(err, ErrIssuer) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	_, err = Parse("state=s-1&iss=https://evil.example.com+Call+555-0100+now", expect)
	if !errors.Is(err, ErrIssuer) || strings.Contains(err.Error(), "555") {
		t.Errorf("a sentence: got %v", err)
	}
}

func TestAuthorizationError(t *testing.T) {
	_, err := Parse("state=s-1&iss="+url.QueryEscape(issuer)+"&error=access_denied&error_description=no%1b%5b31m+way&error_uri=javascript:alert(1)", expect)
	var refused *AuthorizationError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v", err)
	}
	if refused.Code != "access_denied" || refused.Description != "no[31m way" || refused.URI != "" {
		t.Errorf("got %+v", refused)
	}
}

// Every accepted response contained the state that was sent.
func FuzzParse(f *testing.F) {
	f.Add("code=c&state=s-1&iss=https%3A%2F%2Fas.example.com")
	f.Add("http://127.0.0.1:1/callback?state=s-1&error=x&iss=https://as.example.com")
	f.Add("state=s-1;state=s-2&code=c")
	f.Fuzz(func(t *testing.T, answer string) {
		code, err := Parse(answer, expect)
		if err != nil {
			var refused *AuthorizationError
			if !errors.As(err, &refused) && !errors.Is(err, ErrState) && !errors.Is(err, ErrIssuer) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrBareCode) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		if code == "" || !strings.Contains(answer, "state=s-1") && !strings.Contains(answer, "%") && !strings.Contains(answer, "state") {
			t.Errorf("%q was accepted", answer)
		}
	})
}
