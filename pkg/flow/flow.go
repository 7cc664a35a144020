// Package flow implements the MCP authorization flow: it logs in, stores the credential, renews it, and logs out. It combines the packages
// discovery, dcr, pkce, callback, token and keystore.
//
// Handler implements auth.OAuthHandler of the official Go SDK. With it, any Go MCP client can log in and gets the keychain, the locks and
// the renewal:
//
//	store, err := keystore.Open(keystore.Options{StateDir: dir, Dir: dir})
//	client := &flow.Client{Store: store, Open: openBrowser}
//	defer client.Wait(context.Background())
//	target, err := flow.NewTarget("https://mcp.example.com/mcp")
//	handler := client.Handler(target, flow.HandlerOptions{})
//	transport := &mcp.StreamableClientTransport{Endpoint: target.URL, OAuthHandler: handler}
//
// It implements MCP authorization 2026-07-28 and its predecessors back to 2025-03-26. It does not support tokens for more than one
// resource.
package flow

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/task"
	"mcpauth/pkg/keystore"
)

// Client logs in, renews and logs out. Every field except Store may be zero. Call Wait before the process ends.
type Client struct {
	Store   *keystore.Store
	HTTP    *http.Client                                    // for OAuth requests; nil: httpx.Default()
	Open    func(ctx context.Context, address string) error // opens the browser; nil: Login only reports the address
	Now     func() time.Time                                // nil: time.Now
	Report  func(Event)                                     // receives progress events, from several goroutines; may be nil
	Version string                                          // version of the program, sent in registrations
	Environ func() []string                                 // environment of a command that prints an assertion; nil: os.Environ
	Secrets *httpx.Secrets                                  // the secrets of the process, which Client adds to and which no text of Client shows; nil: those of this Client only
	Guard   func(file string) error                         // called before a client key or an assertion file is used; its error stops the request; may be nil

	jobs    task.Group[Credential]
	own     httpx.Secrets // used if Secrets is nil
	provers provers
}

// Event is a progress event of a login or a renewal. Its texts are safe to print.
type Event struct {
	Kind    EventKind
	Message string
	URL     string // address that the user must open; empty: none
	Port    int    // EventAuthorize: the loopback port of the callback listener

	Issuer  string    // EventDevice: issuer of the authorization server
	Code    string    // EventDevice: the user code, to be entered at Typed; URL may already contain it
	Typed   string    // EventDevice: the address at which the user enters Code
	Expires time.Time // EventDevice: when Code expires
}

// EventKind is the kind of an Event.
type EventKind string

// The kinds of events.
const (
	EventAuthorize EventKind = "authorize" // the user must open URL in a browser; Login waits for the response
	EventDevice    EventKind = "device"    // the user must enter Code at Typed, or open URL (RFC 8628)
	EventProgress  EventKind = "progress"  // a stage is complete
	EventWarning   EventKind = "warning"   // something that the user should know; the operation continues
)

// Target is an MCP server, the name of the login, and its settings. NewTarget makes one.
type Target struct {
	URL     string      // canonical URL of the MCP server, under which its login is stored
	Profile string      // name of the login; empty: the unnamed login. Logins with different names can be for different accounts
	Header  http.Header // static headers, sent to the MCP server only

	Settings // for the next login; they take precedence over the stored settings
}

// NewTarget returns the target for a server's URL in canonical form (MCP authorization, Canonical Server URI). It returns an error if the
// URL is neither https nor http on loopback, or contains credentials or a fragment.
func NewTarget(address string) (Target, error) {
	u, err := httpx.CheckServer(address)
	if err != nil {
		return Target{}, err
	}
	return Target{URL: httpx.Canonical(u)}, nil
}

// String describes the target without its settings.
func (t Target) String() string { return strings.TrimSpace(t.Profile + " " + t.URL) }

// GoString is String.
func (t Target) GoString() string { return t.String() }

func (t Target) key() keystore.Key { return keystore.Key{Server: t.URL, Profile: t.Profile} }

// local reports whether the server is on loopback. mcpauth accepts plain http only for servers on loopback.
func local(server string) bool {
	u, err := url.Parse(server)
	return err == nil && httpx.Local(u)
}

// requestLimit is the time limit of each OAuth request. requestLimit is shorter than the time limit of a whole command.
const requestLimit = 30 * time.Second

// http returns the HTTP client for OAuth requests without a client certificate.
func (c *Client) http() *http.Client { return httpx.Within(c.HTTP, requestLimit) }

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) report(e Event) {
	if c.Report != nil {
		e.Message = c.secrets().Mask(e.Message)
		c.Report(e)
	}
}

func (c *Client) progress(message string) { c.report(Event{Kind: EventProgress, Message: message}) }
func (c *Client) warn(message string)     { c.report(Event{Kind: EventWarning, Message: message}) }
