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
	Open    func(ctx context.Context, address string) error // opens the browser; nil: no browser is opened, Login only reports the address
	Now     func() time.Time                                // nil: time.Now
	Report  func(Event)                                     // called with progress events, from several goroutines; may be nil
	Version string                                          // of the program, sent in registrations
	Guard   func(file string) error                         // an error keeps a client key or an assertion file from being used for a request; may be nil

	jobs    task.Group[Credential]
	provers provers
}

// Event is a progress event of a login or a renewal. Its texts are safe to print.
type Event struct {
	Kind    EventKind
	Message string
	URL     string // the address to open, if there is one
	Port    int    // the port of this machine that waits for the answer (authorize)

	Issuer  string    // device: the authorization server that gave the code
	Code    string    // device: to be typed at Typed; URL contains it if the server has such an address
	Typed   string    // device: the address at which the code is typed
	Expires time.Time // device: the end of the code
}

// EventKind is the kind of an Event.
type EventKind string

// The kinds of events.
const (
	EventAuthorize EventKind = "authorize" // URL is to be opened in a browser; Login waits for the answer
	EventDevice    EventKind = "device"    // Code is to be typed at URL (RFC 8628)
	EventProgress  EventKind = "progress"  // a stage is done
	EventWarning   EventKind = "warning"   // something the user should know; the work goes on
)

// Target is an MCP server, the name of the login, and its settings. NewTarget makes one.
type Target struct {
	URL     string      // canonical address of the MCP server, see Canonical
	Profile string      // name of the login; empty: the unnamed one. Several profiles of one server are several accounts
	Header  http.Header // static headers, sent to the MCP server only

	Settings // for the next login, on top of those that are stored
}

// NewTarget returns the target for a server's URL.
func NewTarget(address string) (Target, error) {
	canonical, err := Canonical(address)
	return Target{URL: canonical}, err
}

// Canonical returns the canonical form of a server's URL, under which its login is stored (MCP authorization, Canonical Server URI). It
// returns an error if the URL is neither https nor http on loopback, or contains credentials or a fragment.
func Canonical(address string) (string, error) {
	u, err := httpx.CheckServer(address)
	if err != nil {
		return "", err
	}
	return httpx.Canonical(u), nil
}

// String describes the target without its settings.
func (t Target) String() string { return strings.TrimSpace(t.Profile + " " + t.URL) }

// GoString is String.
func (t Target) GoString() string { return t.String() }

func (t Target) key() keystore.Key { return keystore.Key{Server: t.URL, Profile: t.Profile} }

// local reports whether the server is on this machine. Plain http is allowed only then.
func local(server string) bool {
	u, err := url.Parse(server)
	return err == nil && httpx.Local(u)
}

// requestLimit limits every OAuth request. It is shorter than the time limit of the caller.
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
		c.Report(e)
	}
}

func (c *Client) progress(message string) { c.report(Event{Kind: EventProgress, Message: message}) }
func (c *Client) warn(message string)     { c.report(Event{Kind: EventWarning, Message: message}) }
