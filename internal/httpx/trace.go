package httpx

// The output of --verbose: every HTTP exchange with headers and small bodies, with secrets replaced by [redacted]. Of a header that is not
// listed in shown, only the name is printed.

import (
	"bytes"
	"encoding/base64"
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

// maxTraced limits the size of bodies that are shown, in bytes. Of a longer body, only the size is shown.
const maxTraced = 16 << 10

// maxLearned limits how many sent and how many received secrets are remembered from one exchange to the next. Proofs and tokens change all
// the time, and each printed line is compared with every remembered secret. The least recently used secrets are dropped.
const maxLearned = 70

// shown lists the headers whose values may be printed.
var shown = []string{"Accept", "Accept-Encoding", "Allow", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Date",
	"Last-Event-Id", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Retry-After", "Server", "User-Agent", "Vary", "Www-Authenticate"}

// tracer prints each exchange. It remembers every secret of earlier exchanges, so that a repetition elsewhere is redacted as well.
type tracer struct {
	next http.RoundTripper

	mu       sync.Mutex
	out      io.Writer
	sent     [][]string // forms of each sent secret
	received [][]string // forms of each received secret; separate from sent, so that a server that sends many secrets cannot displace the sent ones
}

func (t *tracer) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	t.forget(&t.sent)
	t.learnHeader(req.Header)
	t.learnForm(&t.sent, req.URL.Query())
	var b strings.Builder
	fmt.Fprintf(&b, "> %s %s\n", req.Method, redactURL(req.URL))
	t.header(&b, "> ", req.Header)
	if req.GetBody != nil && req.ContentLength <= maxTraced {
		if body, err := req.GetBody(); err == nil {
			data, _ := io.ReadAll(io.LimitReader(body, maxTraced))
			body.Close()
			t.body(&b, &t.sent, "> ", req.Header.Get("Content-Type"), data)
		}
	}
	t.print(b.String())

	res, err := t.next.RoundTrip(req)
	b.Reset()
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		t.print(fmt.Sprintf("< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(err.Error(), 1000), took)) // a certificate's name may contain line breaks
		return nil, err
	}
	fmt.Fprintf(&b, "< %s %s: %s (%v)\n", req.Method, redactURL(req.URL), Text(res.Status, 80), took)
	t.header(&b, "< ", res.Header)
	t.print(b.String())
	res.Body = &tracedBody{ReadCloser: res.Body, done: func(data []byte, whole bool) {
		var b strings.Builder
		if whole {
			t.forget(&t.received)
			t.body(&b, &t.received, "< ", res.Header.Get("Content-Type"), data)
		} else {
			b.WriteString("< (a longer body is not shown)\n")
		}
		t.print(b.String())
	}}
	return res, nil
}

// header writes the headers, with values only for those that are known to be harmless.
func (t *tracer) header(b *strings.Builder, mark string, h http.Header) {
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
			case !slices.Contains(shown, name):
				v = redacted
			}
			fmt.Fprintf(b, "%s%s: %s\n", mark, name, Text(v, 1000))
		}
	}
}

// body writes a form or JSON body with its secret members redacted. If the body has another type, only its size is written.
func (t *tracer) body(b *strings.Builder, list *[][]string, mark, contentType string, data []byte) {
	if len(data) == 0 {
		return
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	switch {
	case kind == "application/x-www-form-urlencoded":
		form, _ := url.ParseQuery(string(data))
		t.learnForm(list, form)
		fmt.Fprintf(b, "%s%s\n", mark, redactForm(form))
	case (kind == "application/json" || strings.HasSuffix(kind, "+json")) && dec.Decode(&v) == nil:
		v = t.redactJSON(list, "", v)
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v)
		fmt.Fprintf(b, "%s%s\n", mark, Text(out.String(), maxTraced))
	default:
		fmt.Fprintf(b, "%s(%d bytes of %s)\n", mark, len(data), Text(kind, 80))
	}
}

// print redacts every remembered secret and writes the text in one call.
func (t *tracer) print(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hidden := slices.Concat(slices.Concat(t.sent, t.received)...)
	io.WriteString(t.out, strings.ToValidUTF8(Mask(s, hidden), "�")) // Mask works on bytes, so it may cut a character in two
}

// learn adds a secret to the end of a list, in all forms in which a server may repeat it.
func (t *tracer) learn(list *[][]string, secret string) {
	if len(secret) < 6 { // such a short secret could be ordinary text
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	forms := Forms([]string{secret})
	if i := slices.IndexFunc(*list, func(known []string) bool { return known[0] == secret }); i >= 0 { // the unchanged form is the first
		*list = slices.Delete(*list, i, i+1)
	}
	*list = append(*list, forms)
}

// forget drops the oldest secrets of a list. Call forget before an exchange adds its own secrets, so that none of its own secrets is
// dropped during the exchange.
func (t *tracer) forget(list *[][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*list = slices.Delete(*list, 0, max(0, len(*list)-maxLearned))
}

// learnHeader remembers every header value that the trace does not show, because the server may repeat the value. The user's own headers
// are included, because they may contain a key. Mcp-Param headers are skipped, because they repeat the arguments of a call.
func (t *tracer) learnHeader(h http.Header) {
	for name, values := range h {
		if slices.Contains(shown, name) || strings.HasPrefix(name, "Mcp-Param-") || name == "Location" {
			continue
		}
		for _, v := range values {
			t.learn(&t.sent, v)
			scheme, credentials, _ := strings.Cut(v, " ")
			t.learn(&t.sent, credentials)
			if strings.EqualFold(scheme, "Basic") {
				t.learnBasic(credentials)
			}
		}
	}
}

// learnBasic remembers the client secret of client_secret_basic (RFC 6749 §2.3.1), whose parts are form-encoded.
func (t *tracer) learnBasic(credentials string) {
	pair, err := base64.StdEncoding.DecodeString(credentials)
	_, secret, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok {
		return
	}
	t.learn(&t.sent, secret)
	if plain, err := url.QueryUnescape(secret); err == nil {
		t.learn(&t.sent, plain)
	}
}

func (t *tracer) learnForm(list *[][]string, form url.Values) {
	for name, values := range form {
		for _, v := range values {
			if secretName(name) {
				t.learn(list, v)
			}
		}
	}
}

// redactJSON redacts the string members with secret names and remembers their values.
func (t *tracer) redactJSON(list *[][]string, name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = t.redactJSON(list, k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = t.redactJSON(list, name, v[i])
		}
	case string:
		if secretName(name) {
			t.learn(list, v)
			return redacted
		}
	}
	return v
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

// tracedBody records the first bytes of a body while it is read. When the body ends or is closed, it passes them to done.
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
