package flow

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// bench is a flow client with a demo server and a browser that counts how often it is opened.
type bench struct {
	*demo.Server
	c      *Client
	t      Target
	opened atomic.Int32
	clock  atomic.Int64 // offset of the client's clock in nanoseconds
	dir    string
}

func newBench(t *testing.T, o demo.Options) *bench {
	t.Helper()
	s, err := demo.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bench{Server: s, t: Target{URL: s.URL()}, dir: t.TempDir()}
	b.c = b.client(t)
	return b
}

// client returns a client that stands for another process of the same user: it shares only the store.
func (b *bench) client(t *testing.T) *Client {
	t.Helper()
	store, err := keystore.Open(keystore.Options{Backend: "file", StateDir: b.dir + "/state", Dir: b.dir + "/keys"})
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Store: store, Open: b.open, Now: func() time.Time { return time.Now().Add(time.Duration(b.clock.Load())) }}
}

// open follows redirects as a browser does, in the background.
func (b *bench) open(ctx context.Context, address string) error {
	b.opened.Add(1)
	go func() {
		res, err := http.Get(address)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	return nil
}

func (b *bench) login(t *testing.T) Status {
	t.Helper()
	s, err := b.c.Login(context.Background(), b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bench) set(t *testing.T, words string) {
	t.Helper()
	if err := b.Set(words); err != nil {
		t.Fatal(err)
	}
}

// later moves the client's clock forward.
func (b *bench) later(d time.Duration) { b.clock.Add(int64(d)) }

// stored reads the credential.
func (b *bench) stored(t *testing.T) credential {
	t.Helper()
	cred, err := b.c.loadCredential(context.Background(), b.t)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// echo calls a tool through the SDK's transport, with the handler as its OAuthHandler.
func (b *bench) echo(t *testing.T, h *Handler) error { return b.tool(t, h, "echo") }

func (b *bench) tool(t *testing.T, h *Handler, name string) error {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(context.Background(), &mcp.StreamableClientTransport{Endpoint: b.URL(), OAuthHandler: h, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.CallTool(context.Background(), &mcp.CallToolParams{Name: name, Arguments: map[string]any{"text": "hello"}})
	return err
}

func (b *bench) counts(t *testing.T, want map[string]int) {
	t.Helper()
	for kind, n := range want {
		if got := b.Count(kind); got != n {
			t.Errorf("%s: %d times, want %d", kind, got, n)
		}
	}
}
