package httpx

// The output of --verbose: every HTTP exchange with headers and small bodies, with secrets replaced by [redacted]. If a header is not in
// printableHeaders, only its name is printed.

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

const redacted = "[redacted]"

// maxTraced is the maximum size, in bytes, of a body that is printed. For a longer body, only the size is printed.
const maxTraced = 16 << 10

// printableHeaders lists the headers whose values may be printed.
var printableHeaders = []string{"Accept", "Accept-Encoding", "Allow", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Date",
	"Last-Event-Id", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Retry-After", "Server", "User-Agent", "Vary", "Www-Authenticate"}

// tracer is a transport that remembers the secrets of each exchange. If out is set, tracer also prints the exchange.
type tracer struct {
	next    http.RoundTripper
	out     io.Writer // nil: exchanges are not printed
	secrets *Secrets
}

// oauthKey marks requests to OAuth endpoints, whose responses Do reads completely. tracer reads the body of such a response before it
// prints or returns the response, because the header may repeat secrets from the body.
type oauthKey struct{}

func (t *tracer) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	oauth := req.Context().Value(oauthKey{}) != nil
	t.secrets.learnRequest(req)
	t.secrets.dropOldest(&t.secrets.sent)
	if t.out == nil && !oauth {
		res, err := t.next.RoundTrip(req)
		t.learnProxyPassword(req, err)
		return res, err
	}
	secrets := append(RequestSecrets(req.Header), formSecrets(req.URL.Query())...)
	var b strings.Builder
	fmt.Fprintf(&b, "> %s %s\n", req.Method, redactURL(req.URL))
	t.writeHeader(&b, "> ", req.Header)
	if req.GetBody != nil && req.ContentLength <= maxTraced {
		if body, err := req.GetBody(); err == nil {
			data, _ := io.ReadAll(io.LimitReader(body, maxTraced))
			body.Close()
			t.writeBody(&b, &t.secrets.sent, "> ", req.Header.Get("Content-Type"), data)
			if form, err := url.ParseQuery(string(data)); err == nil && req.Header.Get("Content-Type") == formType {
				secrets = append(secrets, formSecrets(form)...)
			}
		}
	}
	t.print(&b, nil)

	res, err := t.next.RoundTrip(req)
	t.learnProxyPassword(req, err)
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		fmt.Fprintf(&b, "< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(err.Error(), 1000), took) // a certificate's name may contain line breaks
		t.print(&b, secrets)
		return nil, err
	}
	fmt.Fprintf(&b, "< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(res.Status, 80), took)
	t.writeHeader(&b, "< ", res.Header)
	if oauth {
		data, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
		t.writeAnswer(&b, req, res, data, len(data) <= maxTraced)
		t.print(&b, secrets)
		res.Body = &bufferedBody{io.MultiReader(bytes.NewReader(data), errReader{err}), res.Body}
		return res, nil
	}
	t.print(&b, secrets)
	res.Body = &tracedBody{ReadCloser: res.Body, done: func(data []byte, whole bool) {
		var b strings.Builder
		t.writeAnswer(&b, req, res, data, whole)
		t.print(&b, secrets)
	}}
	return res, nil
}

// learnProxyPassword remembers the proxy password after a failure, because the error may contain the proxy's status line, and that line may
// repeat the password.
func (t *tracer) learnProxyPassword(req *http.Request, err error) {
	if err == nil {
		return
	}
	if proxy, _ := ProxyFor(req); proxy != nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		t.secrets.Learn(password, proxy.User.Username()+":"+password)
	}
}

// writeAnswer remembers the secrets in the body of a response and writes the body.
func (t *tracer) writeAnswer(b *strings.Builder, req *http.Request, res *http.Response, data []byte, whole bool) {
	t.secrets.dropOldest(&t.secrets.received)
	list := &t.secrets.received
	if req.Method == http.MethodGet { // metadata, in which a hostile server could present any text as a secret; every token comes in the answer to a POST
		list = nil
	}
	var body strings.Builder
	t.writeBody(&body, list, "< ", res.Header.Get("Content-Type"), data)
	if !whole {
		body.Reset()
		body.WriteString("< (a longer body is not shown)\n")
	}
	b.WriteString(body.String())
}

// bufferedBody is a body of which a part was read in advance.
type bufferedBody struct {
	io.Reader
	io.Closer
}

// errReader is a reader that returns err, or io.EOF if err is nil.
type errReader struct{ err error }

func (f errReader) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// writeHeader writes the headers, with values only for those that are known to be harmless.
func (t *tracer) writeHeader(b *strings.Builder, mark string, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			switch {
			case name == "Location":
				u, err := url.Parse(v)
				if err != nil {
					v = redacted
				} else {
					v = redactURL(u)
				}
			case !slices.Contains(printableHeaders, name):
				v = redacted
			}
			fmt.Fprintf(b, "%s%s: %s\n", mark, name, Text(v, 1000))
		}
	}
}

const formType = "application/x-www-form-urlencoded"

// writeBody writes a form or JSON body with its secret members redacted. If list is not nil, these secrets are added to list. For any other
// body, only the size is written.
func (t *tracer) writeBody(b *strings.Builder, list *[]string, mark, contentType string, data []byte) {
	if len(data) == 0 {
		return
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	switch v := t.secrets.learnBody(list, kind, data).(type) {
	case url.Values:
		fmt.Fprintf(b, "%s%s\n", mark, redactForm(v))
	default:
		if v == nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
			fmt.Fprintf(b, "%s(%d bytes of %s)\n", mark, len(data), Text(kind, 80))
			return
		}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v)
		fmt.Fprintf(b, "%s%s\n", mark, Text(out.String(), maxTraced))
	}
}

// print redacts every remembered secret, and also every part of the secrets of this exchange, and writes the text in one call.
func (t *tracer) print(b *strings.Builder, secrets []string) {
	if t.out != nil {
		io.WriteString(t.out, t.secrets.Mask(Mask(b.String(), Forms(secrets))))
	}
	b.Reset()
}

// secretName reports whether a form field or JSON member with this name contains a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "token_type", "token_type_hint", "subject_token_type", "requested_token_type", "issued_token_type", "actor_token_type":
		return false
	case "code", "device_code", "code_verifier", "state", "d", "p", "q":
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

// formSecrets returns the values of the secret fields of a form.
func formSecrets(form url.Values) []string {
	var all []string
	for name, values := range form {
		if secretName(name) {
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
