package token

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// Endpoint.BeforeSend gets the form of each request. Its result unsent is called only if no server received even a part of the request.
func TestBeforeSend(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = discard
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	aborting := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	aborting.EnableHTTP2 = true
	aborting.StartTLS()
	t.Cleanup(aborting.Close)
	// The server reads the header, which may contain the client secret, and no form.
	reached := make(chan struct{}, 1)
	stuck := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
	}))
	stuck.EnableHTTP2 = true
	stuck.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 1}
	stuck.StartTLS()
	t.Cleanup(stuck.Close)
	key, err := LoadKey([]byte(inPEM(t, private(t, "P-256"))))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		e             Endpoint
		sends, unsent int
	}{
		"answered":             {serve(t, reply{status: 400}).endpoint(), 1, 0},
		"connection refused":   {Endpoint{URL: closed.URL}, 1, 1},
		"an unknown authority": {Endpoint{URL: stranger.URL}, 1, 1},
		"closed, with HTTP/1":  {Endpoint{URL: hijack(t, func(net.Conn) {})}, 1, 0},
		"aborted, with HTTP/2": {Endpoint{URL: aborting.URL, HTTP: aborting.Client()}, 1, 0},
		"only the header":      {Endpoint{URL: stuck.URL, HTTP: stuck.Client()}, 1, 0},
		"another algorithm":    {Endpoint{URL: closed.URL, Client: ClientAuth{ID: "c", Method: "private_key_jwt", Key: key, Algs: []string{"ES512"}}}, 0, 0},
		"no address":           {Endpoint{URL: "ftp://x"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "only the header" {
				go func() { <-reached; cancel() }()
			}
			sends, unsent := 0, 0
			tt.e.Local = true
			tt.e.BeforeSend = func(_ context.Context, form url.Values) (func(), error) {
				if form.Get("assertion") != "a.b.c" {
					t.Error("the form has no assertion")
				}
				sends++
				return func() { unsent++ }, nil
			}
			if _, err := tt.e.JWTBearer(ctx, "a.b.c", ""); err == nil || sends != tt.sends || unsent != tt.unsent {
				t.Errorf("%v; %d requests, want %d; %d not sent, want %d", err, sends, tt.sends, unsent, tt.unsent)
			}
		})
	}
	refused := errors.New("refused")
	s := serve(t, reply{})
	e := s.endpoint()
	e.BeforeSend = func(context.Context, url.Values) (func(), error) { return nil, refused }
	if _, err := e.ClientCredentials(t.Context(), ""); !errors.Is(err, refused) || len(s.got) != 0 {
		t.Errorf("got %v, %d requests", err, len(s.got))
	}
}
