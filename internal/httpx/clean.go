package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// Client returns a copy of a client whose exchanges belong to one login. If c is nil, Client uses Default.
func (s *Secrets) Client(c *http.Client) *http.Client {
	if c == nil {
		c = Default()
	}
	own := *c
	own.Transport = s.Transport(c.Transport)
	return &own
}

// Transport returns a transport whose exchanges belong to one login. The transport learns the credentials in requests, and the tokens and
// secrets in successful responses to DoIssuing. It replaces every secret of the login in
//
//   - the bodies of OAuth responses that Do, DoHeader or DoIssuing read, except issued secrets
//   - the headers of OAuth responses and of all responses with a status of 300 or more
//   - errors, because an error of net/http may quote a malformed header line of the server
//
// In an error, in the body of a response with a status of 400 or more, and in an error_description, parts of credentials are replaced too.
func (s *Secrets) Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	if c, ok := next.(*cleaner); ok && c.secrets == s {
		return c
	}
	return &cleaner{next: next, secrets: s}
}

type cleaner struct {
	next    http.RoundTripper
	secrets *Secrets
}

// bodyKey marks requests to OAuth endpoints, whose responses Do and DoHeader read. Its value says which bodies they read.
type bodyKey struct{}

type readBody int

const (
	readAny    readBody = iota + 1 // every body
	readErrors                     // only bodies of responses with a status of 400 or more
	readIssued                     // every body, and a successful response teaches the secrets in it
)

// secretsKey marks the requests of a login for the tracer.
type secretsKey struct{}

func (t *cleaner) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.secrets
	read, oauth := req.Context().Value(bodyKey{}).(readBody)
	s.learnRequest(req, oauth)
	res, err := t.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), secretsKey{}, s)))
	if err != nil {
		s.learnProxyPassword(req)
		return nil, s.CleanError(err)
	}
	failed := res.StatusCode >= http.StatusBadRequest
	if !oauth {
		if res.StatusCode >= http.StatusMultipleChoices {
			res.Header = s.CleanHeader(res.Header)
			_ = s.checkLocation(req, res) // the caller reads an invalid URL itself
		}
		return res, nil
	}
	var data []byte
	if read != readErrors || failed {
		data, err = io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
		body := withoutNUL(data)
		if !failed && json.Valid(body) { // NUL bytes make a successful response invalid, and the caller refuses it
			body = data
		}
		s.learnAnswer(req, res, body)
		switch {
		case err != nil:
			err = s.CleanError(err)
		case len(data) > MaxBody:
			body, err = body[:min(len(body), MaxBody)], ErrTooLarge
		}
		u := inResponse
		if failed {
			u = inMessage
		}
		body = s.finder(u).cleanBody(body, failed)
		res.Body, res.ContentLength = &bufferedBody{io.MultiReader(bytes.NewReader(body), errReader{err}), res.Body}, -1
	}
	res.Header = s.CleanHeader(res.Header)
	if err := s.checkLocation(req, res); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	return res, nil
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

// CleanError replaces the secrets in the text of an error, because an error of net/http or crypto may quote the server. An error of the
// connection quotes nothing of the server, so it stays unchanged.
func (s *Secrets) CleanError(err error) error {
	if isOfConnection(err) {
		return err
	}
	text := err.Error()
	if clean := s.Clean(text); clean != text {
		return &cleanError{err, clean}
	}
	return err
}

// isOfConnection reports whether an error says only how a connection failed or ended. An error of net/http about a proxy may contain a name
// in the proxy's certificate.
func isOfConnection(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "proxyconnect" || isOfConnection(op.Err)
	}
	timeout, _ := errors.AsType[net.Error](err)
	_, ofSystem := errors.AsType[syscall.Errno](err)
	return ofSystem || timeout != nil && timeout.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}

// cleanError wraps an error and replaces its text.
type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.error }

// CleanHeader returns a copy of a header without secrets. Honest servers may use a part of a credential, such as the beginning of another
// JWT, so only complete secrets count, except in an error_description (RFC 6750 §3). The headers in responseHeaders, except WWW-Authenticate,
// stay unchanged.
func (s *Secrets) CleanHeader(h http.Header) http.Header {
	f, out := s.finder(inResponse), h.Clone()
	for name, values := range out {
		if name != "Www-Authenticate" && slices.Contains(responseHeaders, name) {
			continue
		}
		for i, value := range values {
			if name == "Www-Authenticate" {
				value = rewriteParameters(value, func(name, value string) string {
					if name == "error_description" {
						return s.Clean(value)
					}
					return f.clean(value)
				})
			}
			values[i] = f.clean(value)
		}
	}
	return out
}

// CleanRefusal returns the body of an error response without secrets.
func (s *Secrets) CleanRefusal(body []byte) []byte {
	return s.finder(inMessage).cleanBody(withoutNUL(body), true)
}

// cleanBody replaces the secrets in a body. In JSON, cleanBody replaces them in the decoded strings. The values of issuedMembers, the strings in
// oauthCodes and, unless words is true, names of members such as access_token stay unchanged.
func (f *finder) cleanBody(data []byte, words bool) []byte {
	if !json.Valid(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		return []byte(f.clean(string(data)))
	}
	return f.rewriteStrings(data, func(path []string, isName bool, s string) bool {
		n := len(path)
		if isName {
			return !words && isSmall(strings.ReplaceAll(s, "_", "")) && (len(s) < longValue || strings.Contains(s, "_"))
		}
		return slices.Contains(oauthCodes, s) || (n == 1 || n == 2 && path[0] == slackUser) && isIssued(path[n-1])
	})
}

// withoutNUL removes the NUL bytes from a body, so that secrets in UTF-16 are found.
func withoutNUL(body []byte) []byte { return bytes.ReplaceAll(body, []byte{0}, nil) }

// issuedMembers lists the members of responses that contain a secret (RFC 6749 §5.1, RFC 7591 §3.2.1, RFC 8628 §3.2, OpenID Connect Core
// §3.1.3.3). Slack issues tokens in members of authed_user.
var issuedMembers = []string{"access_token", "refresh_token", "id_token", "client_secret", "registration_access_token", "device_code"}

const slackUser = "authed_user"

// isIssued reports whether the value of a member stays. A registration_client_uri may contain the registration access token (RFC 7592 §3).
func isIssued(name string) bool {
	return name == "registration_client_uri" || slices.Contains(issuedMembers, name)
}

// learnAnswer adds the secrets that a successful response to DoIssuing contains. The body is JSON or, at GitHub, a form, whatever its
// Content-Type says. A value that equals the client ID or the user code is public, so it is no secret.
func (s *Secrets) learnAnswer(req *http.Request, res *http.Response, data []byte) {
	if read := req.Context().Value(bodyKey{}); read != readIssued || res.StatusCode/100 != 2 {
		return
	}
	var members map[string]any
	if json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &members) != nil {
		form, _ := url.ParseQuery(string(data))
		members = map[string]any{}
		for name := range form {
			members[name] = form.Get(name)
		}
	}
	user, _ := members[slackUser].(map[string]any)
	for _, name := range issuedMembers {
		if v := asString(members[name]); v != asString(members["client_id"]) && v != asString(members["user_code"]) {
			s.learn(received, v[:min(len(v), MaxSecret)])
		}
		v := asString(user[name])
		s.learn(received, v[:min(len(v), MaxSecret)])
	}
}

func noneStays([]string, bool, string) bool { return false }

// namesStay is a condition for rewriteStrings that leaves the names of members unchanged.
func namesStay(_ []string, isName bool, _ string) bool { return isName }

// rewriteStrings cleans the strings of a JSON text, except those for which stays returns true. path contains the names of the members that
// contain the string; an element of a list has the name "".
func (f *finder) rewriteStrings(data []byte, stays func(path []string, isName bool, s string) bool) []byte {
	out := make([]byte, 0, len(data))
	var path []string
	for i := 0; i < len(data); {
		if data[i] != '"' {
			switch c := data[i]; {
			case c == '{' || c == '[':
				path = append(path, "")
			case (c == '}' || c == ']') && len(path) > 0:
				path = path[:len(path)-1]
			}
			out = append(out, data[i])
			i++
			continue
		}
		word := data[i : i+stringLength(data[i:])]
		i += len(word)
		isName := bytes.HasPrefix(bytes.TrimLeft(data[i:], " \t\r\n"), []byte(":"))
		var s string
		if json.Unmarshal(word, &s) != nil { // the text was cut within the string
			word = []byte(f.clean(string(word)))
		} else {
			if isName && len(path) > 0 {
				path[len(path)-1] = s
			}
			if !stays(path, isName, s) {
				if clean := f.clean(s); clean != s {
					word, _ = json.Marshal(clean)
				}
			}
		}
		out = append(out, word...)
	}
	return out
}

// stringLength returns the length of the JSON string at the beginning of data, with its quotes. The string may be unterminated.
func stringLength(data []byte) int {
	end := 1
	for end < len(data) && data[end] != '"' {
		if data[end] == '\\' {
			end++
		}
		end++
	}
	return min(end+1, len(data))
}
