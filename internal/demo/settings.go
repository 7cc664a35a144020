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

// Settings says how the server behaves. The zero value is a strict server on which every login succeeds. The tag `set` is the word for Set
// and -fault.
type Settings struct {
	TTL         time.Duration `set:"ttl" help:"lifetime of access tokens; 0: 1h"`
	Rotate      string        `set:"rotate" one:"always never" help:"refresh tokens: always (default) a new one each time, never: the old one stays good and the answer names none"`
	Grace       time.Duration `set:"grace" help:"for so long a refresh token that was just rotated is answered again with its successor; 0: reuse revokes the grant"`
	Share       string        `set:"share" one:"family client browser" help:"what a revocation or a reuse ends: family (default) the tokens of one login, client all grants of the client and user (as Keycloak does), browser all logins of the client in the same browser (as oidc-provider does)"`
	Single      bool          `set:"single" help:"a refresh revokes the access tokens given before (as Notion does)"`
	Early       time.Duration `set:"early" help:"refuse a refresh with 400 while the access token is good for longer than this; 0: never"`
	Offline     string        `set:"offline" one:"always scope never" help:"who gets a refresh token: always (default), scope: only with offline_access, never"`
	Bytes       int           `set:"bytes" help:"access and refresh tokens are padded to so many bytes; 0: about 40"`
	User        string        `set:"user" help:"who approves; empty: demo-user"`
	Interactive bool          `set:"interactive" help:"show a page with a button instead of approving at once"`
	Resource    string        `set:"resource" one:"require optional refuse" help:"the resource parameter: require (default), optional, refuse (as Entra does)"`
	ResourceID  string        `set:"resource_id" help:"the resource identifier, ORIGIN stands for scheme, host and port; empty: the address of the endpoint"`
	Withhold    []string      `set:"withhold" help:"scopes that are never granted, asked for or not"`
	Base        []string      `set:"base" help:"scopes that every MCP request needs; none: no scope at all; empty: notes:read"`
	Scopes      []string      `set:"scopes" help:"scopes the authorization server knows; none: it names none and takes any; empty: notes:read notes:write offline_access"`
	Challenge   string        `set:"challenge" one:"full noscope nometadata bare none" help:"what a 401 names: full (default), noscope, nometadata, bare, none (no WWW-Authenticate at all)"`
	Missing403  bool          `set:"bare403" help:"403 names the scope but no error (as servers on the Go SDK do)"`
	Open        []string      `set:"open" help:"MCP methods that need no token, such as initialize tools/list; * for all, !tools/call for all but one"`
	StrictInit  bool          `set:"strictinit" help:"answer initialize with a newer version by 400 (as Slack does)"`
	Methods     []string      `set:"methods" help:"client authentication methods; empty: none client_secret_basic client_secret_post private_key_jwt"`
	ToolsTTL    time.Duration `set:"tools_ttl" help:"for so long the list of tools may be cached (2026-07-28); 0: 5m, negative: not at all"`
	SecretTTL   time.Duration `set:"secret_ttl" help:"lifetime of the secrets of registered clients; 0: never ends"`
	Secrets     bool          `set:"secrets" help:"registration gives every client a secret and asks for it, whatever was asked"`
	Documents   string        `set:"documents" one:"no yes loopback" help:"client ID metadata documents: no (default), yes, loopback: also over http on this machine"`
	DPoP        string        `set:"dpop" one:"no offer require" help:"no (default), offer, require (RFC 9449)"`
	Nonce       bool          `set:"nonce" help:"DPoP proofs need the nonce of the server"`
	NextNonce   bool          `set:"next_nonce" help:"each token answer names the DPoP nonce of the next request; the one before is no longer good (RFC 9449 section 8.2)"`
	Device      string        `set:"device" one:"auto wait deny expire slow" help:"device codes: auto (default) approves at the second poll, wait: until the page is used, deny, expire, slow: slow_down first"`
	Interval    int           `set:"interval" help:"seconds between polls of the device grant; 0: 1"`
	PRM         string        `set:"prm" one:"path root both none" help:"resource metadata at: path (default), root, both, none (2025-03-26)"`
	ASM         string        `set:"asm" one:"oauth oidc appended all none" help:"server metadata at: oauth (default), oidc, appended, all, none (with default endpoints)"`
	IDTokens    string        `set:"id_tokens" one:"login always" help:"an OpenID provider, which also exchanges (RFC 8693): scope openid gives an ID token at login, or at refreshes as well (always); empty: none"`
	IDClaims    string        `set:"id_claims" help:"a JSON object whose members replace claims of ID tokens"`
	PAR         string        `set:"par" one:"no offer require" help:"pushed authorization requests (RFC 9126): no (default), offer, require"`
	TokenPath   string        `set:"token_path" help:"path of the token endpoint below the issuer; after a change the former one answers 404; empty: token"`
	Slash       bool          `set:"slash" help:"answer the MCP endpoint with 307 to the same path with a slash at the end (as Starlette mounts do)"`
	Discovery   string        `set:"discovery" one:"2025-03-26 default-endpoints" help:"shorthand: 2025-03-26 (no resource metadata), default-endpoints (no metadata at all), empty: as prm and asm say"`
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

// orWords is the list, or what is meant when it is empty. The one word none means nothing.
func orWords(list []string, otherwise ...string) []string {
	switch {
	case len(list) == 0:
		return otherwise
	case len(list) == 1 && list[0] == "none" && !slices.Contains(otherwise, "none"):
		return nil
	}
	return list
}

// open says whether an MCP method needs no token.
func (v Settings) open(method string) bool {
	for _, word := range v.Open {
		if but, ok := strings.CutPrefix(word, "!"); word == "*" || word == method && method != "" || ok && but != method {
			return true
		}
	}
	return false
}

// assign reads value into the field of *target whose tag `set` is key.
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

// checkChoice refuses a word that the help does not offer.
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

// text undoes JSON quotes, so that a value may hold commas.
func text(value string) string {
	var s string
	if strings.HasPrefix(value, `"`) && json.Unmarshal([]byte(value), &s) == nil {
		return s
	}
	return value
}

// words reads a JSON array, or words with spaces between.
func words(value string) ([]string, error) {
	if !strings.HasPrefix(value, "[") {
		return strings.Fields(text(value)), nil
	}
	var list []string
	err := json.Unmarshal([]byte(value), &list)
	return list, err
}

// describe lists the words of a struct with their meaning.
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
