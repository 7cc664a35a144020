// Package flow implements MCP authorization: login, storage of the credential, renewal and logout. The package combines the packages
// discovery, dcr, pkce, callback, token and keystore.
//
// Handler implements auth.OAuthHandler of the official Go SDK. With a Handler, an MCP client logs in, stores credentials and renews tokens:
//
//	store, err := keystore.Open(keystore.Options{StateDir: dir, Dir: dir})
//	client := &flow.Client{Store: store, Open: openBrowser}
//	defer client.Wait(context.Background())
//	target, err := flow.NewTarget("https://mcp.example.com/mcp")
//	handler := client.Handler(target, flow.HandlerOptions{})
//	transport := &mcp.StreamableClientTransport{Endpoint: handler.Endpoint(ctx), OAuthHandler: handler}
//
// The package implements the MCP authorization revisions from 2025-03-26 to 2026-07-28. A token is for one resource only.
package flow

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/task"
	"mcpauth/pkg/keystore"
)

// Client logs in, renews tokens and logs out. Every field except Store may be zero. Call Wait before the process ends.
type Client struct {
	Store   *keystore.Store
	HTTP    *http.Client                                    // for OAuth requests; nil: a client that limits connection time, header size and redirects
	Open    func(ctx context.Context, address string) error // opens the browser; nil: Login only reports the address
	Now     func() time.Time                                // nil: time.Now
	Report  func(Event)                                     // receives progress events, from several goroutines; may be nil
	Version string                                          // version of the program, sent in registrations
	Environ func() []string                                 // environment of a command that prints an assertion; nil: os.Environ
	Guard   func(what, file, approved, real string) error   // called before a file in Settings.ApprovedFiles is read, with its path without links; its error stops the login or renewal; may be nil

	jobs    task.Group[credential]
	provers proverCache

	bindingHashes sync.Map // see secretBindings

	secretsMu sync.Mutex
	secretsOf map[keystore.Key]*httpx.Secrets // see LoginSecrets
}

// Event is a progress event of a login or a renewal. Every field is safe to print.
type Event struct {
	Kind    EventKind
	Message string
	URL     string // address that the user must open; empty: none
	Port    int    // EventAuthorize: the loopback port of the callback listener

	Issuer  string    // EventDevice: issuer of the authorization server
	Code    string    // EventDevice: the user code (RFC 8628 §3.2); URL may already contain the code
	Typed   string    // EventDevice: address of the page on which the user enters Code
	Expires time.Time // EventDevice: when Code expires
}

// EventKind is the kind of an Event.
type EventKind string

// Values of Event.Kind.
const (
	EventAuthorize EventKind = "authorize" // the user must open URL in a browser; Login waits for the response
	EventDevice    EventKind = "device"    // the user must enter Code at Typed, or open URL (RFC 8628)
	EventProgress  EventKind = "progress"  // a stage is complete
	EventWarning   EventKind = "warning"   // something that the user should know; the operation continues
)

// Target is an MCP server, the name of the login there, and the settings of the login. NewTarget returns a Target for a URL.
type Target struct {
	URL     string      // canonical URL of the MCP server; the store uses it as the key of the login
	Profile string      // name of the login; empty: the unnamed login. Logins with different names can be for different accounts
	Header  http.Header // static headers, sent to the MCP server only

	// Check is called with the settings of the stored login each time the login is read. Its error stops the operation, so that neither the
	// token is used nor the login replaced. nil: no check.
	Check func(t Target, stored Settings) error

	Settings // settings for the next login, which take precedence over the stored settings

	// Flags are those of Settings that the user gave for this command only. The others come from a configuration. If the user gave a setting
	// to Pending, the configuration no longer counts for this setting in Finish. Empty: all Settings come from a configuration.
	Flags Settings

	// IfStored replaces Settings if a login is stored, except for the client certificate. nil: Settings are used.
	IfStored *Settings
}

// NewTarget returns the target for a server's URL in canonical form (MCP authorization, Canonical Server URI). The URL must be https, or
// http on loopback, and must not contain credentials or a fragment.
func NewTarget(address string) (Target, error) {
	u, err := httpx.CheckServer(address)
	if err != nil {
		return Target{}, err
	}
	return Target{URL: httpx.Canonical(u)}, nil
}

// String describes the target without its settings.
func (t Target) String() string { return strings.TrimSpace(t.Profile + " " + t.URL) }

// GoString returns String.
func (t Target) GoString() string { return t.String() }

func (t Target) key() keystore.Key { return keystore.Key{Server: t.URL, Profile: t.Profile} }

// isLocal reports whether the server is on loopback. mcpauth accepts plain http only for servers on loopback.
func isLocal(server string) bool {
	u, err := url.Parse(server)
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
