// Package flow puts the stages of the MCP authorization flow in order: it logs in, keeps the credential, renews it, and ends it. It is
// the one package that knows discovery, dcr, pkce, callback, token and keystore; it passes plain values from one to the next.
//
// Any Go MCP client becomes an authorized one, with keychain, locks and renewal, through Handler, which implements the official SDK's
// auth.OAuthHandler:
//
//	store, err := keystore.Open(keystore.Options{StateDir: dir, Dir: dir})
//	client := &flow.Client{Store: store, Open: openBrowser}
//	defer client.Wait(context.Background())
//	target, err := flow.NewTarget("https://mcp.example.com/mcp")
//	handler := client.Handler(target, flow.HandlerOptions{})
//	transport := &mcp.StreamableClientTransport{Endpoint: target.URL, OAuthHandler: handler}
//
// The specification is MCP authorization 2026-07-28 with its predecessors back to 2025-03-26. Not supported: tokens for more than one
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

// Client runs the stages. All fields but Store may be left zero. Call Wait before the process ends.
type Client struct {
	Store   *keystore.Store
	HTTP    *http.Client                                    // every leg of OAuth; nil: the client of this project, with its limits
	Open    func(ctx context.Context, address string) error // opens the browser; nil: no browser is opened, Login only reports the address
	Now     func() time.Time                                // nil: time.Now
	Report  func(Event)                                     // receives progress events, from several goroutines; nil: nobody does
	Version string                                          // of the program, sent when registering

	jobs    task.Group[Credential]
	provers provers
}

// Event is one thing that a person who waits may want to know. The texts are safe to print.
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

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	EventAuthorize EventKind = "authorize" // URL is to be opened in a browser; Login waits for the answer
	EventDevice    EventKind = "device"    // Code is to be typed at URL (RFC 8628)
	EventProgress  EventKind = "progress"  // a stage is done
	EventWarning   EventKind = "warning"   // something the user should know; the work goes on
)

// Target says which server is meant, as whom, and what was chosen for it. NewTarget makes one.
type Target struct {
	URL     string      // canonical address of the MCP server, see Canonical
	Profile string      // name of the login; empty: the unnamed one. Several profiles of one server are several accounts
	Header  http.Header // static headers, sent to the MCP server only

	Settings // for the next login, on top of those that are stored
}

// NewTarget returns the target of a server's address.
func NewTarget(address string) (Target, error) {
	canonical, err := Canonical(address)
	return Target{URL: canonical}, err
}

// Canonical returns the one spelling of a server's address under which its login is stored (MCP authorization, Canonical Server URI). It
// refuses an address that is neither https nor http on loopback, or that carries credentials or a fragment.
func Canonical(address string) (string, error) {
	u, err := httpx.CheckServer(address)
	if err != nil {
		return "", err
	}
	return httpx.Canonical(u), nil
}

// String names the target without its settings.
func (t Target) String() string { return strings.TrimSpace(t.Profile + " " + t.URL) }

// GoString is String.
func (t Target) GoString() string { return t.String() }

func (t Target) key() keystore.Key { return keystore.Key{Server: t.URL, Profile: t.Profile} }

// local reports whether the server is on this machine. Only then plain http is allowed.
func local(server string) bool {
	u, err := url.Parse(server)
	return err == nil && httpx.Local(u)
}

// requestLimit bounds every request of OAuth, below the time limit of the caller.
const requestLimit = 30 * time.Second

// http returns the HTTP client for the requests of OAuth that show no client certificate.
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
