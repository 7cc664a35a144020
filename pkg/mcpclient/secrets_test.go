package mcpclient

import (
	"encoding/json"
	"strings"
	"testing"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// withSecrets returns an option for client that makes texts the secrets of the login.
func withSecrets(texts ...string) func(*Client) {
	return func(c *Client) {
		c.Secrets = &httpx.Secrets{}
		c.Secrets.Learn(texts...)
	}
}

// No error about a URL of an elicitation request shows a secret that the URL contains.
func TestRefusedURLHidesSecrets(t *testing.T) {
	const secret = "tok-AAAAbbbbCCCCdddd1234"
	s := newServer(t, modern(hour, nil))
	for _, address := range []string{"http://evil.example/" + secret, "https://evil.example/#" + secret, "ftp://" + secret, "https://evil.example/" + secret, secret} {
		c := client(t, s, withSecrets(secret))
		c.init()
		for _, err := range []error{
			func() error {
				_, err := c.askElicitor(t.Context(), Elicitation{Mode: "url", URL: address})
				return err
			}(),
			c.callError(t.Context(), &RPCError{Code: mcphttp.CodeURLElicitation, Data: json.RawMessage(`{"elicitations":[{"mode":"url","url":"` + address + `"}]}`)}),
		} {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

// A secret is removed from a URL before the URL is shortened, so that no part of the secret remains.
func TestRefusedURLIsCleanedWhole(t *testing.T) {
	const key = "sk-live+0123456789abcdefghij/KLMNOPQR=="
	c := client(t, newServer(t, modern(hour, nil)), withSecrets())
	c.init()
	c.Secrets.AddHeader("X-Api-Key", key)
	for n := range 200 {
		_, err := c.askElicitor(t.Context(), Elicitation{Mode: "url", URL: "http://evil.example/" + strings.Repeat("p", n) + key})
		if err == nil || strings.Contains(err.Error(), "sk-") {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// In JSON, a secret is found behind the escapes of the server's JSON encoder. .NET escapes a plus sign, and Python escapes letters with an
// accent.
func TestSecretsInEscapedJSON(t *testing.T) {
	const token, key = "tok+AAAA+bbbb+1234", "schlüssel-äöü-0123"
	const escaped = `"tok\u002BAAAA\u002Bbbbb\u002B1234","schl\u00fcssel-\u00e4\u00f6\u00fc-0123"`
	c := client(t, newServer(t, &scripted{call: answers(`{"resultType":"tok\u002BAAAA\u002Bbbbb\u002B1234"}`)}), withSecrets(token, key))
	if _, err := c.Call(t.Context(), "t", Arguments{}); err == nil || !strings.Contains(err.Error(), `of type "[redacted]"`) {
		t.Error(err)
	}
	var schema, data string
	c.Elicit = Policy{Report: func(e Elicitation, _ Answer) { schema = string(e.Schema) }}.Elicit
	_, err := c.askElicitor(t.Context(), Elicitation{Mode: "form", Schema: json.RawMessage(`{"enum":[` + escaped + `,"a<b"]}`)})
	c.Log = func(_, _, text string) { data = text }
	c.handleMessage(t.Context(), &clientSession{}, mcphttp.NewRequest(nil, "notifications/message", json.RawMessage(`{"data":[`+escaped+`,"a<b"]}`)))
	if err != nil || schema != `{"enum":["[redacted]","[redacted]","a<b"]}` || data != `["[redacted]","[redacted]","a<b"]` {
		t.Errorf("schema %s, log data %s, %v", schema, data, err)
	}
}

// An error about an argument or a tool hides secrets among the server's names, but not the client's own words, which a server can make a
// secret by issuing them as a token.
func TestArgumentErrorsKeepTheirWords(t *testing.T) {
	const token = "tok+AAAA+bbbb+1234"
	words := []string{"a required argument is missing", "is not one of", "its definition is invalid and must not be used", "is not a header name", "is used twice"}
	for _, tt := range []struct{ schema, args, want string }{
		{`{"required":["a"]}`, "", `tool "t": a: a required argument is missing`},
		{`{"required":["` + token + `"]}`, "", `tool "t": [redacted]: a required argument is missing`},
		{`{"properties":{"a":{"enum":["tok\u002BAAAA\u002Bbbbb\u002B1234","b"]}}}`, "c", `tool "t": a: "c" is not one of "[redacted]", "b"`},
		{`{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}`, "",
			`tool "t": its definition is invalid and must not be used: property "a": x-mcp-header "a b" is not a header name (RFC 9110 §5.1)`},
		{`{"properties":{"` + token + `":{"type":"string","x-mcp-header":"` + token + ` x"}}}`, "",
			`tool "t": its definition is invalid and must not be used: property "[redacted]": x-mcp-header "[redacted] x" is not a header name (RFC 9110 §5.1)`},
		{`{"properties":{"a":{"type":"string","x-mcp-header":"` + token + `"},"b":{"type":"string","x-mcp-header":"` + token + `"}}}`, "",
			`tool "t": its definition is invalid and must not be used: property "b": x-mcp-header "[redacted]" is used twice`},
	} {
		s := newServer(t, &scripted{call: answers(done), list: func(string) string {
			return `{"resultType":"complete","ttlMs":60000,"tools":[{"name":"t","inputSchema":` + tt.schema + `}]}`
		}})
		warned := ""
		c := client(t, s, withSecrets(append(words, token)...), func(c *Client) { c.Warn = func(text string) { warned += text } })
		var args Arguments
		if tt.args != "" {
			args.Args = []Arg{{Name: "a", Value: tt.args}}
		}
		if _, err := c.Call(t.Context(), "t", args); err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
		if _, err := c.Tools(t.Context()); err != nil {
			t.Error(err)
		}
		if _, reason, ok := strings.Cut(tt.want, "must not be used: "); ok && warned != `the tool "t" is omitted, because its definition is invalid: `+reason {
			t.Errorf("warned %q, expected %q", warned, reason)
		}
	}
}
