package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Other MCP clients' names for the settings of a pre-registered OAuth client.
func TestForeignAuthBlocks(t *testing.T) {
	for name, tt := range map[string]struct {
		block string
		want  Auth
	}{
		"Cursor":               {`"auth":{"CLIENT_ID":"i","CLIENT_SECRET":"${env:S}","scopes":["a","b"]}`, Auth{ClientID: "i", ClientSecret: "secret", Scope: "a b", Secrets: []string{"secret"}}},
		"Cursor, public":       {`"auth":{"CLIENT_ID":"i"}`, Auth{ClientID: "i"}},
		"Claude Code":          {`"oauth":{"clientId":"i","callbackPort":8080,"scopes":"a b","authServerMetadataUrl":"https://a"}`, Auth{ClientID: "i", Scope: "a b", CallbackHost: "localhost", CallbackPort: 8080, Unused: "oauth.authServerMetadataUrl"}},
		"ours before theirs":   {`"oauth":{"clientId":"theirs"},"auth":{"clientId":"ours"}`, Auth{ClientID: "ours"}},
		"ours, scope as words": {`"auth":{"scope":"a b"}`, Auth{Scope: "a b"}},
	} {
		f, err := parse("f", []byte(`{"mcpServers":{"x":{"url":"https://x",`+tt.block+`}}}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, err := f.Servers["x"].ExpandAuth(env(map[string]string{"S": "secret"}))
		if err != nil || a == nil || !reflect.DeepEqual(*a, tt.want) {
			t.Errorf("%s reads otherwise, %v", name, err)
		}
	}
}

func TestForeignAuthFaults(t *testing.T) {
	for _, tt := range []struct{ block, want string }{
		{`"auth":{"CLIENT_ID":"i","clientId":"j"}`, `"clientId" appears twice`},
		{`"auth":{"CLIENT_SECRET":"canary"}`, "auth.clientSecret needs auth.clientId"},
		{`"auth":{"scopes":["a",1]}`, "auth.scope is not a string"},
		{`"auth":{"CLIENT_ID":["i"]}`, "auth.clientId is not a string"},
		{`"auth":[]`, "auth is not an object"},
		{`"oauth":[]`, "oauth is not an object"},
		{`"oauth":{"clientId":"a","clientId":"b"}`, `"clientId" appears twice`},
		{`"oauth":{"callbackPort":"8080"}`, "oauth.callbackPort is not a port number"},
	} {
		_, err := parse("f", []byte(`{"mcpServers":{"x":{"url":"https://x",`+tt.block+`}}}`))
		var e *Error
		if !errors.As(err, &e) || e.Line != 1 || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %s", tt.block, err, tt.want)
		}
	}
}

// A path that no system opens is an error, before anything resolves it.
func TestLongPaths(t *testing.T) {
	for key, ok := range map[string]bool{strings.Repeat("x", 4096): true, strings.Repeat("x", 4097): false, "${LONG}": false, "x/${LONG}/../../k.pem": false} {
		f, err := parse("p", []byte(`{"mcpServers":{"x":{"url":"https://x","auth":{"clientKey":"`+key+`"}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		getenv := env(map[string]string{"LONG": strings.Repeat("y/", 2048) + "z"})
		_, err = f.Servers["x"].ExpandAuth(getenv)
		if files := f.Servers["x"].Files(getenv); (err == nil) != ok || (len(files) == 1) != ok || !ok && !strings.Contains(err.Error(), "more than 4096 bytes") {
			t.Errorf("%.30s: %d files, %v", key, len(files), err)
		}
	}
}
