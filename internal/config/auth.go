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

// cursorKeys maps Cursor's names for members of `auth` to mcpauth's names.
var cursorKeys = map[string]string{"CLIENT_ID": "clientId", "CLIENT_SECRET": "clientSecret", "scopes": "scope"}

// readAuthMember reads `auth` or, if an entry has none, Claude Code's `oauth`. The result is nil if the entry has neither member.
func (d *document) readAuthMember(entry map[string]hujson.Value) (*Auth, error) {
	if v, ok := entry["auth"]; ok {
		return d.readAuth(v)
	}
	if v, ok := entry["oauth"]; ok {
		return d.readClaudeOAuth(v)
	}
	return nil, nil
}

// readAuth reads `auth`. An unknown member is an error, because a misspelt security setting must not count as absent.
func (d *document) readAuth(v hujson.Value) (*Auth, error) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(v.StartOffset, "auth is not an object")
	}
	members := map[string]hujson.Value{}
	for _, m := range o.Members {
		name := memberName(m.Name)
		name = cmp.Or(cursorKeys[name], name)
		if !slices.Contains(authKeys, name) {
			return nil, d.fault(m.Name.StartOffset, "auth has no member %q; it has %s", name, strings.Join(authKeys, ", "))
		}
		if _, twice := members[name]; twice {
			return nil, d.fault(m.Name.StartOffset, "%q appears twice", name)
		}
		members[name] = m.Value
	}
	return d.convertMembers("auth", members)
}

// readClaudeOAuth reads Claude Code's `oauth` and ignores unknown members. Claude Code's OAuth clients are registered with the redirect URI
// http://localhost:PORT/callback.
func (d *document) readClaudeOAuth(v hujson.Value) (*Auth, error) {
	all, err := d.membersOf("oauth", v)
	if err != nil {
		return nil, err
	}
	members := map[string]hujson.Value{}
	for theirs, ours := range map[string]string{"clientId": "clientId", "callbackPort": "callbackPort", "scopes": "scope"} {
		if v, ok := all[theirs]; ok {
			members[ours] = v
		}
	}
	a, err := d.convertMembers("oauth", members)
	if err != nil {
		return nil, err
	}
	a.CallbackHost = "localhost"
	if _, ok := all["authServerMetadataUrl"]; ok {
		a.Unused = "oauth.authServerMetadataUrl"
	}
	return a, nil
}

// convertMembers converts the members of `auth` or `oauth`, whose keys are names in authKeys.
func (d *document) convertMembers(block string, members map[string]hujson.Value) (*Auth, error) {
	a := &Auth{}
	for key, target := range a.stringFields() {
		v, ok := members[key]
		if !ok {
			continue
		}
		var err error
		if *target, err = d.stringOrList(block+"."+key, v, key == "scope"); err != nil {
			return nil, err
		}
	}
	if v, ok := members["callbackPort"]; ok {
		if json.Unmarshal(v.Pack(), &a.CallbackPort) != nil || a.CallbackPort < 0 || a.CallbackPort > 65535 {
			return nil, d.fault(v.StartOffset, "%s.callbackPort is not a port number", block)
		}
	}
	if a.ClientSecret != "" && a.ClientID == "" {
		return nil, d.fault(members["clientSecret"].StartOffset, "auth.clientSecret needs auth.clientId, the client it belongs to")
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
