package mcpclient

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A server may give back what it was sent, in its own way of writing; what is no secret stays readable.
func TestCredentialsAreTakenOut(t *testing.T) {
	const token, key = "token/token+token=1", "key-key-key-key-1"
	c := &Client{Header: http.Header{"X-Api-Key": {key}, "User-Agent": {"some-long-agent"}, "X-Mode": {"fast"}}}
	if s := "nothing was sent yet: " + token; c.clean(s) != s {
		t.Error("words were changed before anything was sent")
	}
	sent := c.Header.Clone()
	sent.Set("Authorization", "Bearer "+token)
	c.hide(sent)
	c.hide(sent)
	for _, s := range []string{token, "x=" + url.QueryEscape(token), base64.StdEncoding.EncodeToString([]byte("a:" + token)), "the key " + key} {
		got := c.clean("it came as " + s)
		if !strings.Contains(got, "[redacted]") || strings.Contains(got, "oken/token") || strings.Contains(got, "key-key") {
			t.Errorf("%q became %q", s, got)
		}
	}
	if s := "some-long-agent runs fast"; c.clean(s) != s {
		t.Errorf("%q became %q", s, c.clean(s))
	}
}
