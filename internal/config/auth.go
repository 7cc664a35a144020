package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// Auth is the member `auth` of an entry: settings for the authorization server and the OAuth client.
type Auth struct {
	ClientID, ClientSecret, Scope, ClientMetadataURL, Issuer, Grant, ClientKey, AssertionFile, CallbackHost, DPoP string

	CallbackPort int

	Secrets []string // values of the variables in ClientSecret; ExpandAuth sets them
	Unused  string   // name of a member that mcpauth ignores, although another MCP client uses it to log in; "" = no such member
}

// authKeys are the names of the members of `auth`.
var authKeys = []string{"clientId", "clientSecret", "scope", "clientMetadataUrl", "issuer", "grant", "clientKey", "assertionFile", "callbackHost", "callbackPort", "dpop"}

// otherKeys maps the names that Cursor and Claude Code use for members of `auth` to mcpauth's names.
var otherKeys = map[string]string{"CLIENT_ID": "clientId", "CLIENT_SECRET": "clientSecret", "scopes": "scope"}

// readAuthMember reads `auth` or, if an entry has none, Claude Code's `oauth`. The result is nil if the entry has neither member. Claude
// Code's OAuth clients are registered with the redirect URI http://localhost:PORT/callback.
func (d *document) readAuthMember(entry map[string]hujson.Value) (*Auth, error) {
	if v, ok := entry["auth"]; ok {
		return d.readAuth("auth", v, &Auth{}, authKeys)
	}
	if v, ok := entry["oauth"]; ok {
		return d.readAuth("oauth", v, &Auth{CallbackHost: "localhost"}, []string{"clientId", "callbackPort", "scope"})
	}
	return nil, nil
}

// readAuth sets the fields of a to the members of `auth` or `oauth` whose names are in keys. Another member of `auth` is an error, because a
// misspelt security setting must not count as absent. Other members of `oauth` are ignored.
func (d *document) readAuth(block string, v hujson.Value, a *Auth, keys []string) (*Auth, error) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(v.StartOffset, "%s is not an object", block)
	}
	fields, offsets := a.stringFields(), map[string]int{}
	for _, m := range o.Members {
		name := memberName(m.Name)
		name = cmp.Or(otherKeys[name], name)
		_, twice := offsets[name]
		offsets[name] = m.Value.StartOffset
		var err error
		switch {
		case twice:
			return nil, d.fault(m.Name.StartOffset, "%q appears twice", name)
		case slices.Contains(keys, name) && name == "callbackPort":
			if json.Unmarshal(m.Value.Pack(), &a.CallbackPort) != nil || a.CallbackPort < 0 || a.CallbackPort > 65535 {
				err = d.fault(m.Value.StartOffset, "%s.callbackPort is not a port number", block)
			}
		case slices.Contains(keys, name):
			*fields[name], err = d.stringOrList(block+"."+name, m.Value, name == "scope")
		case block == "auth":
			err = d.fault(m.Name.StartOffset, "auth has no member %q; it has %s", name, strings.Join(keys, ", "))
		case name == "authServerMetadataUrl":
			a.Unused = "oauth.authServerMetadataUrl"
		default:
			err = d.checkSpelling(m.Name, keys)
		}
		if err != nil {
			return nil, err
		}
	}
	if a.ClientSecret != "" && a.ClientID == "" {
		return nil, d.fault(offsets["clientSecret"], "auth.clientSecret needs auth.clientId, the client it belongs to")
	}
	return a, nil
}

// stringOrList reads a string. If list is true, it also reads an array of strings, which it joins with spaces.
func (d *document) stringOrList(what string, v hujson.Value, list bool) (string, error) {
	words, ok := v.Value.(*hujson.Array)
	if !ok || !list {
		return d.string(what, v)
	}
	var all []string
	for _, w := range words.Elements {
		word, err := d.string(what, w)
		if err != nil {
			return "", err
		}
		all = append(all, word)
	}
	return strings.Join(all, " "), nil
}

// stringFields returns the fields that are strings. The keys are the names in authKeys.
func (a *Auth) stringFields() map[string]*string {
	return map[string]*string{"clientId": &a.ClientID, "clientSecret": &a.ClientSecret, "scope": &a.Scope, "clientMetadataUrl": &a.ClientMetadataURL,
		"issuer": &a.Issuer, "grant": &a.Grant, "clientKey": &a.ClientKey, "assertionFile": &a.AssertionFile, "callbackHost": &a.CallbackHost, "dpop": &a.DPoP}
}
