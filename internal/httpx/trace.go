package httpx

// The output of --verbose: every HTTP exchange with headers and small bodies, with secrets replaced by [redacted]. If a header is not in
// requestHeaders or responseHeaders, only its name is printed.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxTraced is the maximum size, in bytes, of a body that is printed. For a longer body, only the size is printed.
const maxTraced = 16 << 10

// requestHeaders and responseHeaders list the headers whose values may be printed.
var (
	requestHeaders = []string{"Accept", "Accept-Encoding", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Date",
		"Last-Event-Id", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "User-Agent", "Vary"}
	responseHeaders = append([]string{"Allow", "Connection", "Last-Modified", "Retry-After", "Server", "Www-Authenticate", "X-Content-Type-Options"}, requestHeaders...)
)

// tracer is a transport that prints each exchange.
type tracer struct {
	next http.RoundTripper
	out  io.Writer
}

// A trace is the text about one exchange.
type trace struct {
	strings.Builder
	own   []string // secrets in the request, of which every part is masked
	login *Secrets // the secrets of the login
}

func (t *tracer) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	read, _ := req.Context().Value(bodyKey{}).(readBody)
	b := &trace{own: append(requestSecrets(req.Header), formSecrets(req.URL.Query())...)}
	if b.login, _ = req.Context().Value(secretsKey{}).(*Secrets); b.login == nil {
		b.login = &Secrets{}
	}
	fmt.Fprintf(b, "> %s %s\n", req.Method, redactURL(req.URL))
	b.writeHeader("> ", req.Header, requestHeaders)
	if req.GetBody != nil && req.ContentLength <= maxTraced {
		if body, err := req.GetBody(); err == nil {
			data, _ := io.ReadAll(io.LimitReader(body, maxTraced))
			body.Close()
			b.writeBody("> ", req.Header.Get("Content-Type"), data)
			if form, err := url.ParseQuery(string(data)); err == nil && req.Header.Get("Content-Type") == formType {
				b.own = append(b.own, formSecrets(form)...)
			}
		}
	}
	t.print(b)

	res, err := t.next.RoundTrip(req)
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		b.login.learnProxyPassword(req)
		// The name in a certificate may contain line breaks.
		fmt.Fprintf(b, "< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(err.Error(), 1000), took)
		t.print(b)
		return nil, err
	}
	fmt.Fprintf(b, "< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(res.Status, 80), took)
	b.writeHeader("< ", res.Header, responseHeaders)
	// The header may repeat secrets from the body, so the body is read before the header is printed.
	if read != 0 && (read != readErrors || res.StatusCode >= http.StatusBadRequest) {
		data, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
		b.login.learnAnswer(req, res, data)
		b.writeAnswer(res, data, len(data) <= maxTraced)
		t.print(b)
		res.Body = &bufferedBody{io.MultiReader(bytes.NewReader(data), errReader{err}), res.Body}
		return res, nil
	}
	t.print(b)
	res.Body = &tracedBody{ReadCloser: res.Body, done: func(data []byte, whole bool) {
		b.writeAnswer(res, data, whole)
		t.print(b)
	}}
	return res, nil
}

// writeAnswer writes the body of a response.
func (b *trace) writeAnswer(res *http.Response, data []byte, whole bool) {
	if !whole {
		b.WriteString("< (a longer body is not shown)\n")
		return
	}
	b.writeBody("< ", res.Header.Get("Content-Type"), data)
}

// writeHeader writes the headers, with values only for the harmless ones. A redirect to a URL is shown without the secrets in the URL.
func (b *trace) writeHeader(mark string, h http.Header, harmless []string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			switch {
			case name == "Location" && mark == "< ":
				u, err := url.Parse(v)
				if err != nil {
					v = redacted
				} else {
					v = redactURL(u)
				}
			case !slices.Contains(harmless, name):
				v = redacted
			}
			fmt.Fprintf(b, "%s%s: %s\n", mark, Text(name, 200), Text(v, 1000))
		}
	}
}

const formType = "application/x-www-form-urlencoded"

// writeBody writes a form or JSON body with its secret members redacted. For any other body, only the size is written.
func (b *trace) writeBody(mark, contentType string, data []byte) {
	if len(data) == 0 {
		return
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	dec.UseNumber()
	var v any
	switch {
	case kind == formType:
		form, _ := url.ParseQuery(string(data))
		fmt.Fprintf(b, "%s%s\n", mark, redactForm(form))
	case (kind == "application/json" || strings.HasSuffix(kind, "+json")) && dec.Decode(&v) == nil:
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(redactMembers("", v))
		fmt.Fprintf(b, "%s%s\n", mark, Text(out.String(), maxTraced))
	default:
		fmt.Fprintf(b, "%s(%d bytes of %s)\n", mark, len(data), Text(kind, 80))
	}
}

// jwtLike matches a signed JWT.
var jwtLike = compiled(`^eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`)

// redactMembers redacts the string members that have secret names, and JWTs, such as the assertion of GitHub Actions, which is called value.
func redactMembers(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = redactMembers(name, v[name])
		}
	case []any:
		for i := range v {
			v[i] = redactMembers(name, v[i])
		}
	case string:
		if secretName(name) || slices.Contains([]string{"d", "p", "q"}, name) || jwtLike().MatchString(v) { // d, p and q are parts of a private key (RFC 7518 §6)
			return redacted
		}
	}
	return v
}

// The method print writes the text in one call and empties it. The text contains no secret of the login, and no part of a secret in the request.
func (t *tracer) print(b *trace) {
	f := partFinder(b.own...)
	var out strings.Builder
	for line := range strings.SplitAfterSeq(b.String(), "\n") { // clean may change the whole text that it gets
		out.WriteString(b.login.Clean(f.clean(line)))
	}
	io.WriteString(t.out, out.String())
	b.Reset()
}

// secretName reports whether a form field or JSON member with this name contains a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "token_type", "token_type_hint", "subject_token_type", "requested_token_type", "issued_token_type", "actor_token_type":
		return false
	case "code", "device_code", "code_verifier", "state":
		return true
	}
	if strings.Contains(name, "endpoint") || strings.HasSuffix(name, "_supported") || strings.HasSuffix(name, "_expires_at") ||
		strings.HasPrefix(name, "token_endpoint_auth") || strings.HasSuffix(name, "assertion_type") || strings.HasSuffix(name, "progresstoken") {
		return false
	}
	for _, part := range []string{"token", "secret", "password", "assertion", "verifier", "api_key", "apikey", "private"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// redactURL returns the URL with the values of secret parameters replaced.
func redactURL(u *url.URL) string {
	if u.RawQuery == "" {
		return Text(u.Redacted(), 2000)
	}
	c := *u
	c.RawQuery = redactForm(u.Query())
	return Text(c.Redacted(), 2000)
}

// formSecrets returns the values of the secret fields of a form. The state is no secret, because the authorization URL contains it. A
// client secret that equals the client ID is no secret either.
func formSecrets(form url.Values) []string {
	var all []string
	for name, values := range form {
		if secretName(name) && name != "state" && !(name == "client_secret" && form.Get(name) == form.Get("client_id")) {
			all = append(all, values...)
		}
	}
	return all
}

func redactForm(form url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[name] {
			v = url.QueryEscape(v)
			if secretName(name) {
				v = redacted
			}
			parts = append(parts, url.QueryEscape(name)+"="+v)
		}
	}
	return strings.Join(parts, "&")
}

// tracedBody records the first bytes of a body while it is read. When the body ends or is closed, the recorded bytes are passed to done.
type tracedBody struct {
	io.ReadCloser
	kept  bytes.Buffer
	total int
	done  func(data []byte, whole bool)
	once  sync.Once
}

func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.total += n
	if room := maxTraced - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(n, room)])
	}
	if err != nil {
		b.finish()
	}
	return n, err
}

func (b *tracedBody) Close() error {
	b.finish()
	return b.ReadCloser.Close()
}

func (b *tracedBody) finish() {
	b.once.Do(func() { b.done(b.kept.Bytes(), b.total == b.kept.Len()) })
}
