package demo

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings configures the behaviour of the server. With the zero value, the server is strict and every login succeeds. The tag `set` is the
// name of the setting for Set and the flag -fault.
type Settings struct {
	TTL         time.Duration `set:"ttl" help:"lifetime of access tokens; 0: 1h"`
	Rotate      string        `set:"rotate" one:"always never" help:"refresh tokens: always (default) issues a new one at each refresh, never keeps the first one valid and sends no other"`
	Grace       time.Duration `set:"grace" help:"time after a rotation during which the old refresh token returns the new one again; 0: a second use revokes the grant"`
	Share       string        `set:"share" one:"family client browser" help:"grants that a revocation or a reuse ends: family (default): that of the token, client: all of the client and user (as Keycloak does), browser: all of the client in the same browser (as oidc-provider does)"`
	Single      bool          `set:"single" help:"a refresh revokes the earlier access tokens (as Notion does)"`
	Early       time.Duration `set:"early" help:"refuse a refresh with 400 if the access token is valid for longer than this; 0: never"`
	Offline     string        `set:"offline" one:"always scope never" help:"who gets a refresh token: always (default): every client, scope: a client that requests offline_access, never: nobody"`
	Bytes       int           `set:"bytes" help:"minimum size of access and refresh tokens in bytes; 0: about 40"`
	User        string        `set:"user" help:"the user who approves; empty: demo-user"`
	Interactive bool          `set:"interactive" help:"show a page with a button instead of approving at once"`
	Resource    string        `set:"resource" one:"require optional refuse" help:"the resource parameter: require (default), optional, refuse (as Entra does)"`
	ResourceID  string        `set:"resource_id" help:"the resource identifier, in which ORIGIN stands for scheme, host and port; empty: the URL of the endpoint"`
	Withhold    []string      `set:"withhold" help:"scopes that are never granted, even if requested"`
	Base        []string      `set:"base" help:"scopes that every MCP request needs; none: no scope; empty: notes:read"`
	Scopes      []string      `set:"scopes" help:"scopes that the authorization server knows; none: it lists none and accepts any; empty: notes:read notes:write offline_access"`
	Challenge   string        `set:"challenge" one:"full noscope nometadata bare none" help:"content of the challenge in a 401: full (default), noscope, nometadata, bare (neither), none (no WWW-Authenticate)"`
	Missing403  bool          `set:"bare403" help:"403 names the scope but no error (as servers on the Go SDK do)"`
	Open        []string      `set:"open" help:"MCP methods that need no token, such as initialize tools/list; * for all, !tools/call for all but one"`
	StrictInit  bool          `set:"strictinit" help:"answer initialize with a newer version by 400 (as Slack does)"`
	Methods     []string      `set:"methods" help:"client authentication methods; empty: none client_secret_basic client_secret_post private_key_jwt"`
	ToolsTTL    time.Duration `set:"tools_ttl" help:"cache lifetime of the list of tools (2026-07-28); 0: 5m, negative: no caching"`
	SecretTTL   time.Duration `set:"secret_ttl" help:"lifetime of the secrets of registered clients; 0: unlimited"`
	Secrets     bool          `set:"secrets" help:"registration issues a secret to every client and requires it, even if the client requested none"`
	Documents   string        `set:"documents" one:"no yes loopback" help:"client ID metadata documents: no (default), yes, loopback: also over http on this machine"`
	DPoP        string        `set:"dpop" one:"no offer require" help:"no (default), offer, require (RFC 9449)"`
	Nonce       bool          `set:"nonce" help:"DPoP proofs need a nonce of the server"`
	NextNonce   bool          `set:"next_nonce" help:"each token response names the DPoP nonce for the next request, and the previous one becomes invalid (RFC 9449 section 8.2)"`
	Device      string        `set:"device" one:"auto wait deny expire slow" help:"device codes: auto (default) approves at the second poll, wait: waits for the device page, deny, expire, slow: answers slow_down first"`
	Interval    int           `set:"interval" help:"seconds between polls of the device grant; 0: 1"`
	PRM         string        `set:"prm" one:"path root both none" help:"resource metadata at: path (default), root, both, none (2025-03-26)"`
	ASM         string        `set:"asm" one:"oauth oidc appended all none" help:"server metadata at: oauth (default), oidc, appended, all, none (with default endpoints)"`
	IDTokens    string        `set:"id_tokens" one:"login always" help:"OpenID provider with token exchange (RFC 8693): the scope openid gives an ID token at login, with always also at refreshes; empty: none"`
	IDClaims    string        `set:"id_claims" help:"a JSON object whose members replace claims of ID tokens"`
	PAR         string        `set:"par" one:"no offer require" help:"pushed authorization requests (RFC 9126): no (default), offer, require"`
	TokenPath   string        `set:"token_path" help:"path of the token endpoint below the issuer; after a change, the previous path answers 404; empty: token"`
	Slash       bool          `set:"slash" help:"answer the MCP endpoint with 307 to the same path with a slash at the end (as Starlette mounts do)"`
	Discovery   string        `set:"discovery" one:"2025-03-26 default-endpoints" help:"shorthand: 2025-03-26 (no resource metadata), default-endpoints (no metadata at all), empty: prm and asm apply"`
}

func (v Settings) scopes() []string {
	return orWords(v.Scopes, "notes:read", "notes:write", "offline_access")
}
func (v Settings) base() []string { return orWords(v.Base, "notes:read") }
func (v Settings) methods() []string {
	return orWords(v.Methods, "none", "client_secret_basic", "client_secret_post", "private_key_jwt")
}
func (v Settings) tokenPath() string { return orText(v.TokenPath, "token") }
func (v Settings) prm() string       { return v.place(v.PRM, "path") }
func (v Settings) asm() string {
	if v.Discovery == "2025-03-26" {
		return "oauth"
	}
	return v.place(v.ASM, "oauth")
}
func (v Settings) place(chosen, otherwise string) string {
	if v.Discovery != "" {
		return "none"
	}
	return orText(chosen, otherwise)
}

func (v Settings) challenge() string {
	if v.Discovery != "" && v.Challenge == "" {
		return "bare"
	}
	return orText(v.Challenge, "full")
}

func (v Settings) ttl() time.Duration {
	if v.TTL == 0 {
		return time.Hour
	}
	return v.TTL
}

// toolsTTL is in milliseconds.
func (v Settings) toolsTTL() int {
	if v.ToolsTTL == 0 {
		return 300_000
	}
	return int(max(0, v.ToolsTTL.Milliseconds()))
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// orWords returns list or, if list is empty, the words in otherwise. The list "none" stands for an empty list.
func orWords(list []string, otherwise ...string) []string {
	switch {
	case len(list) == 0:
		return otherwise
	case len(list) == 1 && list[0] == "none" && !slices.Contains(otherwise, "none"):
		return nil
	}
	return list
}

// open reports whether an MCP method needs no token.
func (v Settings) open(method string) bool {
	for _, word := range v.Open {
		if but, ok := strings.CutPrefix(word, "!"); word == "*" || word == method && method != "" || ok && but != method {
			return true
		}
	}
	return false
}

// assign parses value into the field of *target whose tag `set` is key.
func assign(target any, key, value string) error {
	v := reflect.ValueOf(target).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Tag.Get("set") != key {
			continue
		}
		if err := assignField(v.Field(i), value); err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
		return checkChoice(field, value)
	}
	return fmt.Errorf("%q is not known: see Help", key)
}

// checkChoice refuses a value that the tag `one` of the field does not list.
func checkChoice(field reflect.StructField, value string) error {
	choices := field.Tag.Get("one")
	if choices == "" || value == "" || strings.Contains(" "+choices+" ", " "+value+" ") {
		return nil
	}
	return fmt.Errorf("%s=%s: expected one of %s", field.Tag.Get("set"), value, choices)
}

func assignField(f reflect.Value, value string) (err error) {
	switch p := f.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = time.ParseDuration(value)
	case *bool:
		*p, err = strconv.ParseBool(orText(value, "true"))
	case *int:
		*p, err = strconv.Atoi(value)
	case *string:
		*p = text(value)
	case *[]string:
		*p, err = words(value)
	default:
		err = fmt.Errorf("has no words for %s", f.Type())
	}
	return err
}

// text removes JSON quotes, which allow a value to contain commas.
func text(value string) string {
	var s string
	if strings.HasPrefix(value, `"`) && json.Unmarshal([]byte(value), &s) == nil {
		return s
	}
	return value
}

// words parses a JSON array or a list of words that are separated by spaces.
func words(value string) ([]string, error) {
	if !strings.HasPrefix(value, "[") {
		return strings.Fields(text(value)), nil
	}
	var list []string
	err := json.Unmarshal([]byte(value), &list)
	return list, err
}

// describe lists the settings of a struct with their help texts.
func describe(v any) string {
	var b strings.Builder
	t := reflect.TypeOf(v)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("set") != "" {
			fmt.Fprintf(&b, "  %-12s %s\n", f.Tag.Get("set"), f.Tag.Get("help"))
		}
	}
	return b.String()
}
