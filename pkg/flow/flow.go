// Package flow puts the stages of the MCP authorization flow in order: it logs in, keeps the credential, renews it, and ends it. It is
// the one package that knows discovery, dcr, pkce, callback, token and keystore; it passes plain values from one to the next.
//
// Any Go MCP client becomes an authorized one, with keychain, locks and renewal, through Handler, which implements the official SDK's
// auth.OAuthHandler:
//
//	store, err := keystore.Open(keystore.Options{StateDir: dir, Dir: dir})
//	client := &flow.Client{Store: store, Open: openBrowser}
//	handler := client.Handler(flow.Target{URL: "https://mcp.example.com/mcp"}, flow.HandlerOptions{})
//	transport := &mcp.StreamableClientTransport{Endpoint: "https://mcp.example.com/mcp", OAuthHandler: handler}
//
// The specification is MCP authorization 2026-07-28 with its predecessors back to 2025-03-26. Not supported: pushed authorization
// requests (RFC 9126), mutual TLS, and tokens for more than one resource.
package flow

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/keystore"
)

// Client runs the stages. All fields but Store may be left zero.
type Client struct {
	Store   *keystore.Store
	HTTP    *http.Client                                    // every leg of OAuth; nil: the client of this project, with its limits
	Open    func(ctx context.Context, address string) error // opens the browser; nil: no browser is opened, Login only reports the address
	Now     func() time.Time                                // nil: time.Now
	Report  func(Event)                                     // told what happens, for a person who waits; nil: nobody is told
	Version string                                          // of the program, sent when registering

	tasks tasks
}

// Event is one thing a person who waits may want to know. The texts are safe to print.
type Event struct {
	Kind    EventKind
	Message string
	URL     string // the address to open, where there is one
	Port    int    // where the answer is awaited on this machine (authorize)

	Code    string    // device: to be typed at Typed, and contained in URL where the server has such an address
	Typed   string    // device: the address for a code that is typed
	Expires time.Time // device: the end of the code
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	EventAuthorize EventKind = "authorize" // URL is to be opened in a browser; Login waits for the answer
	EventDevice    EventKind = "device"    // Code is to be typed at URL (RFC 8628)
	EventProgress  EventKind = "progress"  // a stage is done
	EventWarning   EventKind = "warning"   // something the user should know; the work goes on
)

// Target says which server, as whom, and what configuration says of it. URL is required.
type Target struct {
	URL     string      // canonical address of the MCP server (httpx.Canonical)
	Profile string      // name of the login; empty: the unnamed one. Several profiles of one server are several accounts
	Header  http.Header // static headers, sent to the MCP server only

	ClientID          string // pre-registered client; empty: metadata document or registration
	ClientSecret      string
	ClientMetadataURL string   // address of our client ID metadata document
	ClientKeyFile     string   // private key for private_key_jwt, PEM or JWK; read anew for every token
	Issuer            string   // pick or pin the authorization server; empty: the first that works
	Scopes            []string // empty: what the server asks for
	CallbackHost      string   // "127.0.0.1" (default) or "localhost"
	CallbackPort      int      // 0: the port of the stored registration, else a free one
	Grant             string   // see Grants; empty: authorization_code
	AssertionFile     string   // jwt_bearer: file with the assertion; read anew for every token
	IDP               IDP      // enterprise
	DPoP              string   // "auto" (default), "always", "never"
}

// IDP is the enterprise identity provider of the grant "enterprise".
type IDP struct {
	TokenEndpoint string `json:"token_endpoint,omitempty"` // where the ID token is exchanged (RFC 8693)
	ClientID      string `json:"client_id,omitempty"`      // the client at the identity provider
	ClientSecret  string `json:"client_secret,omitempty"`  // its secret; empty: a public client
	IDTokenFile   string `json:"id_token_file,omitempty"`  // read anew for every token
}

// String names the identity provider without the secret.
func (i IDP) String() string {
	return fmt.Sprintf("identity provider %s, client %q", i.TokenEndpoint, i.ClientID)
}

// GoString does the same.
func (i IDP) GoString() string { return i.String() }

// The grants that Login knows.
const (
	GrantCode              = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantDevice            = "device_code"
	GrantJWTBearer         = "jwt_bearer"
	GrantEnterprise        = "enterprise"
)

// Grants lists what Target.Grant may be.
func Grants() []string {
	return []string{GrantCode, GrantClientCredentials, GrantDevice, GrantJWTBearer, GrantEnterprise}
}

// machine reports whether the grant needs nobody at a browser, so that it renews itself.
func machine(grant string) bool {
	return grant == GrantClientCredentials || grant == GrantJWTBearer || grant == GrantEnterprise
}

// String names the target without its secrets.
func (t Target) String() string { return strings.TrimSpace(t.Profile + " " + t.URL) }

// GoString is String: a target does not print its secrets.
func (t Target) GoString() string { return t.String() }

func (t Target) key() keystore.Key { return keystore.Key{Server: t.URL, Profile: t.Profile} }

// local reports whether the MCP server itself is on this machine, which alone allows plain http.
func (t Target) local() bool { return localURL(t.URL) }

func localURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && httpx.Local(u)
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) report(e Event) {
	if c.Report != nil {
		c.Report(e)
	}
}

func (c *Client) progress(message string) { c.report(Event{Kind: EventProgress, Message: message}) }
func (c *Client) warn(message string)     { c.report(Event{Kind: EventWarning, Message: message}) }
