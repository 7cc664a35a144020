package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"mcpauth/internal/demo"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
)

// ask sends one MCP request as a client that supports Decorate does. It lets the handler handle refusals, up to the given number of times.
func (b *bench) ask(ctx context.Context, h *Handler, tool string, tries int) (int, error) {
	for {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"text":"x"},"_meta":{`+
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`, tool)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL(), strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
			"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool} {
			req.Header.Set(name, value)
		}
		source, err := h.TokenSource(ctx)
		if err != nil {
			return 0, err
		}
		if source != nil {
			tok, err := source.Token()
			if err != nil {
				return 0, err
			}
			if err := h.Decorate(req, tok); err != nil {
				return 0, err
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		h.Observe(res)
		if tries--; res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden || tries == 0 {
			res.Body.Close()
			return res.StatusCode, nil
		}
		if err := h.Authorize(ctx, req, res); err != nil {
			return res.StatusCode, err
		}
	}
}

// Requests with a valid token do not wait for the login or renewal of another request. A waiting request returns when its context ends.
func TestHandlerNeverBlocks(t *testing.T) {
	t.Parallel()
	t.Run("a step-up that waits for a person", func(t *testing.T) {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.c.Open = nil // no browser, so the login waits
		h := b.c.Handler(b.t, HandlerOptions{})
		waiting, leave := context.WithCancel(ctx)
		defer leave()
		left := make(chan error, 1)
		asked := make(chan bool, 1)
		b.c.Report = func(e Event) {
			if e.Kind == EventAuthorize {
				asked <- true
			}
		}
		go func() {
			_, err := b.ask(waiting, h, "secret_note", 2)
			left <- err
		}()
		<-asked
		b.doNotWait(t, h)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the request that waited: %v", err)
		}
	})
	t.Run("an early renewal that hangs", func(t *testing.T) {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.set(t, "token:grant=refresh_token,hang=before")
		b.later(time.Hour - 30*time.Second)
		h := b.c.Handler(b.t, HandlerOptions{})
		b.doNotWait(t, h)
		b.set(t, "clear")
	})
}

// doNotWait sends requests with a valid token and fails if they wait.
func (b *bench) doNotWait(t *testing.T, h *Handler) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		for range 20 {
			if status, err := b.ask(ctx, h, "echo", 1); status != http.StatusOK {
				done <- fmt.Errorf("answered %d, %v", status, err)
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("requests with a good token wait for another request")
	}
}

// Concurrent requests that lack the same scope start one login.
func TestStepUpsAreShared(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if status, err := b.ask(ctx, h, "secret_note", 3); status != http.StatusOK {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	all.Wait()
	b.counts(t, map[string]int{"login": 2})
}

// refuse gives a handler a response that refuses the stored token.
func (b *bench) refuse(t *testing.T, h *Handler, status int, challenge string) error {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.URL(), nil)
	req.Header.Set("Authorization", "Bearer "+string(b.stored(t).Token.AccessToken))
	return h.Authorize(ctx, req, &http.Response{StatusCode: status, Body: http.NoBody, Request: req, Header: http.Header{"Www-Authenticate": {challenge}}})
}

// answers403 gives a new handler the response 403 with a challenge.
func (b *bench) answers403(t *testing.T, challenge string) error {
	t.Helper()
	return b.refuse(t, b.c.Handler(b.t, HandlerOptions{}), http.StatusForbidden, challenge)
}

// A server may require more scopes without naming them.
func TestStepUpNamesNoScope(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	var said []string
	b.c.Report = func(e Event) { said = append(said, e.Message) }
	err := b.answers403(t, `Bearer error="insufficient_scope"`)
	if err != nil || len(said) == 0 || said[0] != "the server requires more scopes, but names none" {
		t.Errorf("%q, %v", said, err)
	}
}

// A server cannot make the stored login larger with each step-up.
func TestStepUpsAreBounded(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	var scopes strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&scopes, " scope-%d", i)
	}
	if err := b.answers403(t, `Bearer error="insufficient_scope", scope="`+scopes.String()+`"`); !errors.Is(err, ErrManyScopes) {
		t.Errorf("got %v, want ErrManyScopes", err)
	}
	b.counts(t, map[string]int{"login": 1})
}

// The number of step-ups is limited separately for each set of scopes, because a server may require several sets in turn.
func TestStepUpsAreCountedForEachSet(t *testing.T) {
	h := (&Client{}).Handler(Target{URL: "https://x"}, HandlerOptions{})
	for i, tt := range []struct {
		scopes []string
		sent   Secret
		news   bool
		want   bool
	}{
		{[]string{"a", "b"}, "1", true, true},
		{[]string{"b", "a"}, "1", true, true}, // another request with the same token
		{[]string{"a", "b"}, "2", true, true},
		{[]string{"a", "b"}, "3", true, false},
		{[]string{"a", "c"}, "3", true, true},
		{[]string{"a", "c"}, "4", false, false},
		{[]string{"d"}, "4", false, true},
	} {
		if got := h.countStepUp(tt.scopes, tt.sent, tt.news); got != tt.want {
			t.Errorf("%d: %t, want %t", i, got, tt.want)
		}
	}
}

// The handler takes the grant from the stored credential, because commands other than login do not name one.
func TestHandlerUsesTheStoredGrant(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
	b.login(t)
	h := b.c.Handler(Target{URL: b.t.URL}, HandlerOptions{Reauth: ReauthRefresh})
	if status, err := b.ask(ctx, h, "secret_note", 2); status != http.StatusOK {
		t.Errorf("a step-up by client_credentials: %d, %v", status, err)
	}
}

// A handler that adopts another process's login also adopts its DPoP key.
func TestHandlerAdoptsTheKey(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "require"}})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
	if status, err := b.ask(ctx, h, "echo", 1); status != http.StatusOK {
		t.Fatalf("before: %d, %v", status, err)
	}
	source, err := h.TokenSource(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := source.Token()
	if _, err := b.client(t).Login(ctx, b.t, LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	b.set(t, "expire")
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	if status, err := b.ask(ctx, h, "echo", 2); status != http.StatusOK {
		t.Errorf("after another process's login: %d, %v", status, err)
	}
	b.counts(t, map[string]int{"refresh": 1})
	req := httptest.NewRequest(http.MethodPost, b.URL(), nil)
	if err := h.Decorate(req, old); err != nil {
		t.Fatal(err)
	}
	if jkt := proofKey(t, req); jkt == "" {
		t.Error("the old token has no proof")
	} else if req2 := decorated(t, h, b.URL()); proofKey(t, req2) == jkt {
		t.Error("old and new token are proved with the same key")
	}
}

func decorated(t *testing.T, h *Handler, address string) *http.Request {
	t.Helper()
	source, err := h.TokenSource(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tok, _ := source.Token()
	req := httptest.NewRequest(http.MethodPost, address, nil)
	if err := h.Decorate(req, tok); err != nil {
		t.Fatal(err)
	}
	return req
}

// proofKey returns the public key in the header of a DPoP proof.
func proofKey(t *testing.T, req *http.Request) string {
	t.Helper()
	head, _, _ := strings.Cut(req.Header.Get("DPoP"), ".")
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(decode64(t, head), &fields); err != nil {
		t.Fatal(err)
	}
	return string(fields["jwk"])
}

// A nonce in a successful response is used in the next proof, so no request is refused for a missing nonce.
func TestNonceOfAGoodAnswer(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "require", Nonce: true}})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	for range 3 {
		if status, err := b.ask(ctx, h, "echo", 3); status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
	}
	refused := b.Count("401")
	for range 3 {
		if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
			t.Fatal(err)
		}
		if status, err := b.ask(ctx, h, "echo", 3); status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
	}
	if n := b.Count("401") - refused; n > 3 { // each refresh ends the previous access token
		t.Errorf("%d refusals, want at most one for each refresh", n)
	}
	for _, r := range b.Requests("token")[2:] {
		if r.Status != http.StatusOK {
			t.Errorf("a token request was answered %d", r.Status)
		}
	}
}

// If the server refuses a newly issued token, the handler renews once, does not log in, and returns an error with the server's message.
func TestFreshTokenThatIsRefused(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "mcp:wrong-audience")
	h := b.c.Handler(b.t, HandlerOptions{})
	_, err := b.ask(ctx, h, "echo", 9)
	if !errors.Is(err, ErrTokenRefused) || !strings.Contains(err.Error(), "the token is bound to a different resource") {
		t.Errorf("got %v, want ErrTokenRefused with the server's words", err)
	}
	b.counts(t, map[string]int{"login": 1, "refresh": 1})
}

// If nothing can be done about a challenge, the error contains the server's message.
func TestWordsOfAChallenge(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "mcp:wrong-audience")
	_, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthNever}), "echo", 2)
	if !errors.Is(err, ErrLoginRequired) || !strings.Contains(err.Error(), "the token is bound to a different resource") {
		t.Errorf("got %v", err)
	}
}

// A challenge parameter is ignored only if it contains the whole token or a whole value of the user's headers.
func TestSecretsInAChallenge(t *testing.T) {
	const id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	header := http.Header{"X-Key": {"a-long-secret-of-the-user"}, "X-Tenant": {id}, "Origin": {"https://a.long.example"}}
	for value, kept := range map[string]bool{
		"eyJhbGciOiJSUzI1NiJ9.e30.other": true, "a-long-secret-of-the": true, "eyJhbGciOiJSUzI1NiJ9.e30.canary": false,
		"x a-long-secret-of-the-user": false, "a%2Dlong-secret-of-the-user": false,
		"https://a.long.example/notes:read": true, "tenant:" + id: true,
	} {
		s := (&Client{}).LoginSecrets(Target{URL: "https://mcp.example.com/mcp", Header: header})
		s.Learn("eyJhbGciOiJSUzI1NiJ9.e30.canary")
		got := discovery.ParseChallenges(s.CleanHeader(http.Header{"Www-Authenticate": {`Bearer scope="` + value + `"`}}))
		if (got[0].Scope() == value) != kept {
			t.Errorf("%s: got %q", value, got[0].Scope())
		}
	}
}

// A refresh token that the server refuses with an unusual code is sent once, and Status then reports it as not refreshable.
func TestRefusedRefreshTokenIsSentOnce(t *testing.T) {
	for _, early := range []bool{false, true} {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.c.Open = nil
		b.set(t, "token:grant=refresh_token,refused-code")
		b.set(t, "expire")
		if early {
			b.later(time.Hour - 30*time.Second) // still valid by the client's clock
		} else {
			b.later(2 * time.Hour)
		}
		h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
		_, err := b.ask(ctx, h, "echo", 9)
		if !errors.Is(err, ErrGrantRejected) || !strings.Contains(err.Error(), "the session has ended") {
			t.Errorf("early %t: got %v, want ErrGrantRejected with the server's words", early, err)
		}
		if n := len(b.Requests("token")); n != 2 {
			t.Errorf("early %t: %d token requests with that of the login, want 2", early, n)
		}
		if s, err := b.c.Status(ctx, b.t); err != nil || s.Refreshable || s.Usable() {
			t.Errorf("early %t: renewable %t, state %s, %v", early, s.Refreshable, s.State, err)
		}
	}
}

// Every later login requests the scopes that step-ups obtained before, and Discover shows them.
func TestLaterLoginKeepsScopes(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Scopes = []string{"notes:read"}
	b.login(t)
	b.t.Scopes = nil
	if status, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{}), "secret_note", 3); status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	if d, err := b.c.Discover(ctx, b.t, LoginOptions{}); err != nil || !slices.Contains(d.Plan.Scopes, "notes:write") {
		t.Errorf("the plan is %+v, %v", d.Plan, err)
	}
	b.set(t, "revoke")
	b.later(2 * time.Hour)
	if status, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{}), "echo", 3); status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	if got := b.stored(t).grantedScopes(); !slices.Contains(got, "notes:write") {
		t.Errorf("after a 401 the login has %q", got)
	}
}

// If the token endpoint answers 404, it is discovered again once at the same issuer.
func TestTokenEndpointMoved(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	before := b.stored(t).Endpoints.Token
	b.set(t, "token_path=moved/token")
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	if after := b.stored(t).Endpoints.Token; after == before || !strings.HasSuffix(after, "/moved/token") {
		t.Errorf("the endpoint is %s", after)
	}
	b.counts(t, map[string]int{"login": 1, "refresh": 1})
	b.set(t, "token:gone")
	sent := len(b.Requests("token"))
	if _, err := b.c.Refresh(ctx, b.t, 0); err == nil || b.stored(t).Token.RefreshToken == "" {
		t.Errorf("an endpoint that is gone for good: %v", err)
	}
	if n := len(b.Requests("token")) - sent; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func decode64(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The access token goes only to the origin of the login's server, even if the index names another address for the calls.
func TestTokenStaysAtItsOrigin(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	for moved, ok := range map[string]bool{b.URL() + "/": true, "http://127.0.0.1:1/steal": false, "https" + strings.TrimPrefix(b.URL(), "http"): false, "//evil.example": false} {
		cred := b.stored(t)
		r, err := cred.record()
		if err != nil {
			t.Fatal(err)
		}
		r.Public = bytes.Replace(r.Public, []byte("{"), fmt.Appendf(nil, `{"moved":%q,`, moved), 1)
		if _, err := b.c.Store.Put(t.Context(), b.t.key(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := b.c.Status(t.Context(), b.t); ok != (err == nil) || !ok && !errors.Is(err, keystore.ErrCorrupt) {
			t.Errorf("moved to %s: %v", moved, err)
		}
		req, err := http.NewRequest(http.MethodPost, moved, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = b.c.Handler(b.t, HandlerOptions{}).Decorate(req, &oauth2.Token{AccessToken: "canary"})
		var refused *httpx.AddressError
		if ok != (err == nil) || !ok && !errors.As(err, &refused) || ok != (req.Header.Get("Authorization") != "") {
			t.Errorf("request to %s: %v", moved, err)
		}
	}
}

// If another process logs in again and the server then redirects elsewhere, a running client must not send the new token to its old URL.
func TestLoginForAnotherAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	if got := h.Endpoint(ctx); got != b.t.URL {
		t.Fatalf("requests go to %q", got)
	}
	old := b.stored(t).Token.AccessToken
	b.set(t, "slash=true")
	if _, err := b.client(t).Login(ctx, b.t, LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, b.t.URL, nil)
	req.Header.Set("Authorization", "Bearer "+string(old))
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		refused := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
		if err := h.Authorize(ctx, req, refused); !errors.Is(err, ErrMoved) {
			t.Errorf("after %d: %v, want %v", status, err, ErrMoved)
		}
	}
	source, err := h.TokenSource(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if tok, _ := source.Token(); tok.AccessToken != string(old) {
		t.Error("the old URL would get the token of the new login")
	}
	b.later(2 * time.Hour) // the old token has expired, so the handler would use the new login
	if _, err := h.TokenSource(ctx); !errors.Is(err, ErrMoved) {
		t.Errorf("the renewal: %v, want %v", err, ErrMoved)
	}
	if got := b.c.Handler(b.t, HandlerOptions{}).Endpoint(ctx); got != b.t.URL+"/" {
		t.Errorf("a new client sends its requests to %q", got)
	}
}
