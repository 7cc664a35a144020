package httpx

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// For every response, the trace contains neither the secrets that were sent nor the received token, and no terminal control characters.
func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"access_token":"canary-given","echo":"canary-sent"}`), "application/json", "https://x/?code=canary-sent")
	f.Add([]byte("code=canary-sent&x=\x1b[2J"), "application/x-www-form-urlencoded", "/canary-sent?x=y")
	f.Add([]byte("<p>canary-sent"), "text/html; charset=\x1b", "\x1b")
	f.Fuzz(func(t *testing.T, body []byte, kind, location string) {
		var out strings.Builder
		b := &trace{login: &Secrets{}}
		b.login.Learn("canary-sent")
		b.writeHeader("< ", http.Header{"Location": {location}, "Content-Type": {kind}, "X-Other": {string(body)}}, responseHeaders)
		b.writeBody("< ", kind, body)
		(&tracer{out: &out}).print(b)
		got := out.String()
		if strings.Contains(got, "canary-sent") || strings.Contains(got, url.QueryEscape("canary-sent")) {
			t.Errorf("a secret that was sent is shown: %q", got)
		}
		for _, r := range got {
			if r != '\n' && unicode.IsControl(r) {
				t.Errorf("control characters are shown: %q", got)
			}
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		if dec.Decode(&answer) == nil && len(answer.Token) > 15 && strings.HasPrefix(kind, "application/json") && strings.Contains(got, answer.Token) &&
			!strings.Contains(kind+location, answer.Token) && bytes.Count(body, []byte(answer.Token)) == 1 {
			t.Errorf("the token that came is shown: %q", got)
		}
	})
}
