package flow

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/keystore"
)

// hanging is a transport that never answers some requests. It opens a new connection for each request, because the goroutines of an idle
// connection would wait for the network, and the clock of synctest stops while a goroutine waits for the network.
type hanging struct {
	http.Transport
	sent  atomic.Int32
	hangs func(n int, req *http.Request) bool // n counts from 1
}

func (h *hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	if h.hangs(int(h.sent.Add(1)), req) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return h.Transport.RoundTrip(req)
}

// timed runs do without a time limit, and reports the fake time that it took and the number of requests that it sent.
func timed(t *testing.T, b *bench, hangs func(int, *http.Request) bool, do func(*Client)) (took time.Duration, sent int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{Transport: http.Transport{DisableKeepAlives: true}, hangs: hangs}
		c := b.client(t)
		c.HTTP, c.Now, c.Open = &http.Client{Transport: h}, nil, nil
		c.Report = func(e Event) {
			if e.Kind == EventDevice { // the user enters the code
				if res, err := (&http.Client{Transport: &h.Transport}).PostForm(e.Typed, url.Values{"user_code": {e.Code}}); err == nil {
					res.Body.Close()
				}
			}
		}
		begun := time.Now()
		do(c)
		_ = c.Wait(context.Background())
		took, sent = time.Since(begun), int(h.sent.Load())
	})
	return took, sent
}

// Every OAuth request has its own time limit: if any one gets no answer, the operation ends, although the caller's context has no deadline.
func TestEveryRequestHasALimit(t *testing.T) {
	ctx := context.Background() // no deadline
	with := func(change func(*bench)) func(*testing.T) (*bench, func(*Client)) {
		return func(t *testing.T) (*bench, func(*Client)) {
			b := newBench(t, demo.Options{})
			change(b)
			return b, func(c *Client) { _, _ = c.Login(ctx, b.t, LoginOptions{}) }
		}
	}
	for name, prepare := range map[string]func(*testing.T) (*bench, func(*Client)){
		"login": with(func(b *bench) {
			b.t.Grant, b.t.ClientID, b.t.ClientSecret = GrantClientCredentials, "demo-basic", "demo-cs-basic"
		}),
		"device": with(func(b *bench) { b.t.Grant = GrantDevice }),
		"github-actions": with(func(b *bench) {
			t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", b.Control()+"/assertion")
			t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")
			b.t.Grant, b.t.Assertion = GrantJWTBearer, "github-actions"
		}),
		"pending": func(t *testing.T) (*bench, func(*Client)) {
			b := newBench(t, demo.Options{})
			return b, func(c *Client) { _, _ = c.Pending(ctx, b.t, LoginOptions{}) }
		},
		"refresh": func(t *testing.T) (*bench, func(*Client)) {
			b := newBench(t, demo.Options{})
			b.login(t)
			return b, func(c *Client) { _, _ = c.Refresh(ctx, b.t, 0) }
		},
		"logout": func(t *testing.T) (*bench, func(*Client)) {
			b := newBench(t, demo.Options{})
			b.login(t)
			return b, func(c *Client) { _, _ = c.Logout(ctx, b.t, LogoutOptions{}) }
		},
	} {
		b, do := prepare(t)
		_, all := timed(t, b, func(int, *http.Request) bool { return false }, do)
		for n := range all {
			b, do := prepare(t)
			took, _ := timed(t, b, func(i int, _ *http.Request) bool { return i == n+1 }, do)
			if took < httpx.RequestLimit || took > httpx.RequestLimit+10*time.Second {
				t.Errorf("%s: without an answer to request %d of %d it took %s", name, n+1, all, took)
			}
		}
	}
}

// The time limit of a redemption includes the repeated discovery of the token endpoint, even if several URLs do not answer.
func TestRedemptionHasALimit(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token:gone")
	took, sent := timed(t, b, func(_ int, req *http.Request) bool { return !strings.HasSuffix(req.URL.Path, "/token") },
		func(c *Client) { _, _ = c.Refresh(context.Background(), b.t, 0) })
	if sent < 2 || took != redeemLimit {
		t.Errorf("%d requests in %s", sent, took)
	}
}

// The clean-up after a login ends soon, even if the server does not answer.
func TestCleanUpHasALimit(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	address, err := b.c.Pending(context.Background(), b.t, LoginOptions{NewClient: true})
	if err != nil {
		t.Fatal(err)
	}
	answer := landing(t, address)
	took, sent := timed(t, b, func(_ int, req *http.Request) bool { return !strings.HasSuffix(req.URL.Path, "/token") }, func(c *Client) {
		if _, err := c.Finish(context.Background(), b.t, answer); err != nil {
			t.Error(err)
		}
	})
	if sent < 2 || took != cleanupLimit {
		t.Errorf("%d requests in %s", sent, took)
	}
}

// The wait for a lock is limited. With -short, the test leaves out the longest wait, because each attempt to acquire the lock takes real
// time, although the clock is fake.
func TestEveryLockHasALimit(t *testing.T) {
	t.Parallel()
	const limit = 46 * time.Second // the default limit of 45 s, and the time between two attempts to acquire the lock
	login := func(ctx context.Context, c *Client, b *bench) error {
		b.t.Grant, b.t.ClientID, b.t.ClientSecret = GrantClientCredentials, "demo-basic", "demo-cs-basic"
		_, err := c.Login(ctx, b.t, LoginOptions{})
		return err
	}
	for _, tt := range []struct {
		name, purpose string
		key           func(*bench) keystore.Key
		limit         time.Duration
		do            func(context.Context, *Client, *bench) error
	}{
		{"refresh", keystore.LockCredential, own, limit, func(ctx context.Context, c *Client, b *bench) error { _, err := c.Refresh(ctx, b.t, 0); return err }},
		{"logout", keystore.LockCredential, own, limit, func(ctx context.Context, c *Client, b *bench) error {
			_, err := c.Logout(ctx, b.t, LogoutOptions{})
			return err
		}},
		{"login", keystore.LockCredential, own, limit, login},
		{"a registration", keystore.LockCredential, own, limit, func(ctx context.Context, c *Client, b *bench) error {
			_, err := c.Pending(ctx, b.t, LoginOptions{NewClient: true})
			return err
		}},
		{"the binding of a secret", bindingsNote, func(*bench) keystore.Key { return bindingsKey() }, limit, login},
		{"a login that waits for a person", keystore.LockLogin, own, loginLimit + time.Second, login},
	} {
		if testing.Short() && tt.limit > limit {
			continue
		}
		b := newBench(t, demo.Options{})
		b.login(t)
		took, _ := timed(t, b, func(int, *http.Request) bool { return false }, func(c *Client) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*loginLimit) // ends a failing test after a limited time
			defer cancel()
			unlock, err := b.client(t).Store.Lock(ctx, tt.key(b), tt.purpose)
			if err != nil {
				t.Fatal(err)
			}
			defer unlock()
			if err := tt.do(ctx, c, b); !errors.Is(err, keystore.ErrBusy) {
				t.Errorf("%s: %v, want keystore.ErrBusy", tt.name, err)
			}
		})
		if took > tt.limit {
			t.Errorf("%s: %s", tt.name, took)
		}
	}
}

func own(b *bench) keystore.Key { return b.t.key() }

// If the caller's context ends, a request without a one-time secret ends at once.
func TestOnlyOneTimeSecretsAreWaitedFor(t *testing.T) {
	device := func(b *bench) { b.t.Grant = GrantDevice }
	machine := func(b *bench) {
		b.t.Grant, b.t.ClientID, b.t.ClientSecret = GrantClientCredentials, "demo-basic", "demo-cs-basic"
	}
	file := filepath.Join(t.TempDir(), "jwt")
	workload := func(b *bench) {
		if err := os.WriteFile(file, []byte(b.Assertion("ann", time.Hour)), 0o600); err != nil {
			t.Fatal(err)
		}
		b.t.Grant, b.t.ClientID, b.t.AssertionFile = GrantJWTBearer, "demo-public", file
	}
	const limit = 2 * time.Second
	for name, tt := range map[string]struct {
		change  func(*bench)
		request string // end of the path of the request without an answer
		renew   bool
		longest time.Duration
	}{
		"device code":        {device, "/device_authorization", false, limit + time.Second},
		"device poll":        {device, "/token", false, redeemLimit + 10*time.Second},
		"client credentials": {machine, "/token", false, limit + time.Second},
		"its renewal":        {machine, "/token", true, limit + time.Second},
		"assertion":          {workload, "/token", false, limit + time.Second},
		"refresh token":      {func(*bench) {}, "/token", true, redeemLimit + 10*time.Second},
	} {
		b := newBench(t, demo.Options{})
		tt.change(b)
		if tt.renew {
			b.login(t)
		}
		took, sent := timed(t, b, func(_ int, req *http.Request) bool { return strings.HasSuffix(req.URL.Path, tt.request) }, func(c *Client) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			if tt.renew {
				_, _ = c.Refresh(ctx, b.t, 0)
			} else {
				_, _ = c.Login(ctx, b.t, LoginOptions{})
			}
		})
		if sent == 0 || took < limit || took > tt.longest || tt.longest > redeemLimit && took < redeemLimit {
			t.Errorf("%s: %d requests in %s", name, sent, took)
		}
	}
}
