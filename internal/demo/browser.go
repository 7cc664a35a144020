package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Browser is a minimal web browser, which follows redirects and keeps cookies. A Browser is safe for concurrent use.
type Browser struct {
	File string // file for the cookies, so that a later process has them; empty: they are only in memory

	mu  sync.Mutex
	jar map[string]map[string]string // cookie value by host and cookie name
}

// BrowserFile returns the path of the file in which the test browsers of a user keep their cookies.
func BrowserFile() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "mcpauth-demo-browser.json"), err
}

// Open requests a URL, follows redirects, and returns the status of the last page.
func (b *Browser) Open(ctx context.Context, address string) (int, error) {
	res, err := b.get(ctx, address, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// Redirect requests a URL and returns the Location of the response without following it.
func (b *Browser) Redirect(ctx context.Context, address string) (string, error) {
	res, err := b.get(ctx, address, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	return res.Header.Get("Location"), nil
}

func (b *Browser) get(ctx context.Context, address string, follow func(*http.Request, []*http.Request) error) (*http.Response, error) {
	if err := b.load(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Jar: b, CheckRedirect: follow}).Do(req)
	if err != nil {
		return nil, err
	}
	return res, b.save()
}

// SetCookies implements http.CookieJar. A cookie is sent only to the host that set it.
func (b *Browser) SetCookies(u *url.URL, cookies []*http.Cookie) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jar == nil {
		b.jar = map[string]map[string]string{}
	}
	host := b.jar[u.Hostname()]
	if host == nil {
		host = map[string]string{}
		b.jar[u.Hostname()] = host
	}
	for _, c := range cookies {
		if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
			delete(host, c.Name)
		} else {
			host[c.Name] = c.Value
		}
	}
}

// Cookies implements http.CookieJar.
func (b *Browser) Cookies(u *url.URL) []*http.Cookie {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cookies []*http.Cookie
	for name, value := range b.jar[u.Hostname()] {
		cookies = append(cookies, &http.Cookie{Name: name, Value: value})
	}
	return cookies
}

func (b *Browser) load() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.File == "" || b.jar != nil {
		return nil
	}
	data, err := os.ReadFile(b.File)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &b.jar)
}

// save replaces the file atomically, so that no other browser reads a part of it.
func (b *Browser) save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.File == "" || b.jar == nil {
		return nil
	}
	data, err := json.Marshal(b.jar)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(b.File), 0o700)
	}
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(b.File), "cookies-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), b.File)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
